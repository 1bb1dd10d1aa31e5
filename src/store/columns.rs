//! Ids and times as columns. An id is 16 bytes in SQLite and the type `uuid` in PostgreSQL; a time is whole milliseconds
//! since 1970 UTC in both.

use jiff::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Type};
use uuid::Uuid;

use crate::contract::supervision::SupervisionId;
use crate::ids::{CallId, RecordId};

/// The column's value.
pub(super) fn to_ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// The time of a column's value; a value outside the calendar, which this program never writes, becomes 1970.
pub(super) fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

macro_rules! uuid_column {
    ($id:ty, $uuid:expr, $from:expr) => {
        impl Type<Sqlite> for $id {
            fn type_info() -> SqliteTypeInfo {
                <[u8] as Type<Sqlite>>::type_info()
            }
        }

        impl Encode<'_, Sqlite> for $id {
            fn encode_by_ref(&self, arguments: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
                let uuid: Uuid = $uuid(self);
                <Vec<u8> as Encode<'_, Sqlite>>::encode(uuid.as_bytes().to_vec(), arguments)
            }
        }

        impl<'r> Decode<'r, Sqlite> for $id {
            fn decode(value: SqliteValueRef<'r>) -> Result<Self, BoxDynError> {
                let bytes = <Vec<u8> as Decode<'r, Sqlite>>::decode(value)?;
                $from(Uuid::from_slice(&bytes)?)
            }
        }

        impl Type<Postgres> for $id {
            fn type_info() -> PgTypeInfo {
                <Uuid as Type<Postgres>>::type_info()
            }
        }

        impl Encode<'_, Postgres> for $id {
            fn encode_by_ref(&self, arguments: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let uuid: Uuid = $uuid(self);
                <Uuid as Encode<'_, Postgres>>::encode_by_ref(&uuid, arguments)
            }
        }

        impl<'r> Decode<'r, Postgres> for $id {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                $from(<Uuid as Decode<'r, Postgres>>::decode(value)?)
            }
        }
    };
}

uuid_column!(RecordId, |id: &RecordId| id.0, |uuid| Ok(RecordId(uuid)));
uuid_column!(SupervisionId, |id: &SupervisionId| id.0, |uuid| Ok(SupervisionId(uuid)));
uuid_column!(CallId, |id: &CallId| id.uuid(), |uuid: Uuid| Ok(CallId::parse(&uuid.to_string())?));
