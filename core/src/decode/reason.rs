//! Why a record is not an event, in words that do not change: bronze's `error` column begins with them, counters are labelled with them.

use crate::batch::Status;

/// The stable first word of bronze's `error` column (`reason: detail`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The payload is not UTF-8.
    NotUtf8,
    /// The payload is not one JSON value: cut off, followed by something, or with a byte order mark.
    NotJson,
    /// JSON, but a list or a scalar.
    NotAnObject,
    /// Lists and objects inside each other beyond [`super::MAX_DEPTH`].
    NestingTooDeep,
    /// A declared field occurs twice; which of the two is meant nobody can tell.
    DuplicateKey,
    /// A required field is not there.
    MissingField,
    /// A required field is null.
    NullField,
    /// A value of another type than declared; an integer with a fraction or an exponent; a timestamp that is no text.
    WrongType,
    /// A text outside the declared values.
    NotAllowed,
    /// An integer below the declared minimum.
    BelowMinimum,
    /// Not RFC 3339, a day or an hour that does not exist, or a year outside 0001 to 9999.
    BadTimestamp,
    /// An integer beyond 64 bits.
    IntegerOutOfRange,
    /// A number beyond the largest 64-bit float.
    NumberOutOfRange,
    /// U+0000 in a declared text: PostgreSQL takes none.
    NulCharacter,
    /// Half of a surrogate pair in a declared text (`"\ud800"`): not a character.
    LoneSurrogate,
    /// A declared text longer than [`super::MAX_TEXT_BYTES`] ([`super::MAX_SYMBOL_BYTES`] where a window groups or filters by it).
    TooLong,
    /// A Kafka record without a value.
    NullValue,
    /// A Kafka record whose value has no bytes.
    EmptyValue,
    /// The event time is further ahead of Kafka's record time than the stream allows.
    TooFarAhead,
    /// The event time is further behind Kafka's record time than the stream allows.
    TooOld,
    /// The payload is larger than the stream allows.
    TooLarge,
    /// Not a record: a range of offsets that Kafka no longer had.
    Lost,
}

impl Reason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Reason; 22] = [
        Self::NotUtf8,
        Self::NotJson,
        Self::NotAnObject,
        Self::NestingTooDeep,
        Self::DuplicateKey,
        Self::MissingField,
        Self::NullField,
        Self::WrongType,
        Self::NotAllowed,
        Self::BelowMinimum,
        Self::BadTimestamp,
        Self::IntegerOutOfRange,
        Self::NumberOutOfRange,
        Self::NulCharacter,
        Self::LoneSurrogate,
        Self::TooLong,
        Self::NullValue,
        Self::EmptyValue,
        Self::TooFarAhead,
        Self::TooOld,
        Self::TooLarge,
        Self::Lost,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NestingTooDeep => "nesting_too_deep",
            Self::DuplicateKey => "duplicate_key",
            Self::MissingField => "missing_field",
            Self::NullField => "null_field",
            Self::WrongType => "wrong_type",
            Self::NotAllowed => "not_allowed",
            Self::BelowMinimum => "below_minimum",
            Self::BadTimestamp => "bad_timestamp",
            Self::IntegerOutOfRange => "integer_out_of_range",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::NulCharacter => "nul_character",
            Self::LoneSurrogate => "lone_surrogate",
            Self::TooLong => "too_long",
            Self::NullValue => "null_value",
            Self::EmptyValue => "empty_value",
            Self::TooFarAhead => "too_far_ahead",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::Lost => "lost",
        }
    }

    /// The status of a row with this reason.
    pub fn status(self) -> Status {
        match self {
            Self::NotUtf8 | Self::NotJson | Self::NotAnObject | Self::NestingTooDeep | Self::EmptyValue => Status::Malformed,
            Self::DuplicateKey
            | Self::MissingField
            | Self::NullField
            | Self::WrongType
            | Self::NotAllowed
            | Self::BelowMinimum
            | Self::BadTimestamp
            | Self::IntegerOutOfRange
            | Self::NumberOutOfRange
            | Self::NulCharacter
            | Self::LoneSurrogate
            | Self::TooLong => Status::Invalid,
            Self::NullValue => Status::Tombstone,
            Self::TooFarAhead => Status::Future,
            Self::TooOld => Status::Ancient,
            Self::TooLarge => Status::Oversized,
            Self::Lost => Status::Lost,
        }
    }
}
