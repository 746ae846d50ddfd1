//! What a source's builder still needs, as types: their names are what the compiler says.

/// The source's cursor column is not named yet.
#[derive(Clone, Copy, Debug)]
pub struct NeedsCursor;

/// The source's key is not named yet.
#[derive(Clone, Copy, Debug)]
pub struct NeedsKey;

/// The source's cursor column.
#[derive(Clone, Debug)]
pub struct WithCursor(pub(super) Box<str>);

/// The source's key columns.
#[derive(Clone, Debug)]
pub struct WithKey(pub(super) Box<[Box<str>]>);

/// A builder whose cursor column is named.
#[diagnostic::on_unimplemented(
    message = "this source has no cursor",
    label = "its rows have no order to read them in",
    note = "name the column that orders changes: `.cursor(\"updated_at\")`"
)]
pub trait HasCursor: sealed::State + Send + Sync {
    /// The cursor column.
    fn cursor(&self) -> &str;
}

/// A builder whose key is named.
#[diagnostic::on_unimplemented(
    message = "this source has no key",
    label = "rows with the same cursor can't be told apart",
    note = "name the primary key's columns: `.key([\"id\"])`"
)]
pub trait HasKey: sealed::State + Send + Sync {
    /// The key columns, in order.
    fn key(&self) -> &[Box<str>];
}

#[diagnostic::do_not_recommend]
impl HasCursor for WithCursor {
    fn cursor(&self) -> &str {
        &self.0
    }
}

#[diagnostic::do_not_recommend]
impl HasKey for WithKey {
    fn key(&self) -> &[Box<str>] {
        &self.0
    }
}

/// A builder whose cursor column is still to be named.
#[diagnostic::on_unimplemented(
    message = "this source's cursor is set already",
    label = "a source has one cursor column",
    note = "remove one of the calls of `.cursor(..)`"
)]
pub trait WantsCursor: sealed::State {}

/// A builder whose key is still to be named.
#[diagnostic::on_unimplemented(
    message = "this source's key is set already",
    label = "a source has one key; it may have several columns",
    note = "name all its columns in one call: `.key([\"region\", \"id\"])`"
)]
pub trait WantsKey: sealed::State {}

/// As many columns as a key can have: 1 to 32.
#[diagnostic::on_unimplemented(
    message = "a key has at least one column, and at most 32",
    label = "rows with the same cursor can't be told apart by this",
    note = "name the primary key's columns: `.key([\"id\"])`"
)]
pub trait KeyLength: sealed::State {}

macro_rules! key_lengths {
    ($($length:literal)+) => {$(
        #[diagnostic::do_not_recommend]
        impl KeyLength for [(); $length] {}
        impl sealed::State for [(); $length] {}
    )+};
}

key_lengths! { 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 }

#[diagnostic::do_not_recommend]
impl WantsCursor for NeedsCursor {}
#[diagnostic::do_not_recommend]
impl WantsKey for NeedsKey {}

mod sealed {
    /// Nobody else's types are states.
    pub trait State {}

    impl State for super::NeedsCursor {}
    impl State for super::NeedsKey {}
    impl State for super::WithCursor {}
    impl State for super::WithKey {}
}
