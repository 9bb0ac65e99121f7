//! The shape of a request, walked before it is decoded: do its counts fit its bytes?
//!
//! The decoder of `kafka-protocol` reserves room for as many elements as a request claims to have. A damaged count would
//! make it reserve hundreds of gigabytes, which ends the process and with it everything that embeds this broker. So the
//! arrays (and what stands before them) are walked first, by their layout below.
//!
//! May assume nothing about the bytes. Promises: after `Ok`, every array of the request is really there, and there are not
//! absurdly many elements; what follows the last array is the decoder's business.

use kafka_protocol::messages::ApiKey;

/// No sensible request has more elements than this.
const MOST_ELEMENTS: u32 = 1_000_000;

#[derive(Clone, Copy)]
enum Kind {
    Fixed(usize),
    /// A string, null or not.
    Text,
    Bytes,
    Array(&'static [Field]),
}

/// A field and the versions that have it.
#[derive(Clone, Copy)]
struct Field(Kind, i16, i16);

const I8: Field = Field(Kind::Fixed(1), 0, i16::MAX);
const I16: Field = Field(Kind::Fixed(2), 0, i16::MAX);
const I32: Field = Field(Kind::Fixed(4), 0, i16::MAX);
const I64: Field = Field(Kind::Fixed(8), 0, i16::MAX);
const TEXT: Field = Field(Kind::Text, 0, i16::MAX);
const BYTES: Field = Field(Kind::Bytes, 0, i16::MAX);
const ID: Field = Field(Kind::Fixed(16), 0, i16::MAX);

/// An array, in the versions given or in all. A macro, because only a literal lets its elements live in the constant.
macro_rules! all {
    ($min:literal..=$max:expr; $($element:expr),* $(,)?) => { Field(Kind::Array(&[$($element),*]), $min, $max) };
    ($($element:expr),* $(,)?) => { all!(0..=i16::MAX; $($element),*) };
}

const fn since(version: i16, Field(kind, _, max): Field) -> Field {
    Field(kind, version, max)
}

const fn until(version: i16, Field(kind, min, _): Field) -> Field {
    Field(kind, min, version)
}

/// The fields of a request up to its last array; nothing for requests without one.
fn layout(key: ApiKey) -> &'static [Field] {
    match key {
        ApiKey::Produce => const { &[TEXT, I16, I32, all![until(12, TEXT), since(13, ID), all![I32, BYTES]]] },
        ApiKey::Fetch => {
            const {
                &[
                    until(14, I32),
                    I32,
                    I32,
                    I32,
                    I8,
                    since(7, I32),
                    since(7, I32),
                    all![until(12, TEXT), since(13, ID), all![I32, since(9, I32), I64, since(12, I32), since(5, I64), I32],],
                    all![7..=i16::MAX; until(12, TEXT), since(13, ID), all![I32]],
                ]
            }
        }
        ApiKey::ListOffsets => const { &[I32, since(2, I8), all![TEXT, all![I32, since(4, I32), I64]]] },
        ApiKey::Metadata => const { &[all![since(10, ID), TEXT]] },
        ApiKey::OffsetCommit => {
            const { &[TEXT, I32, TEXT, since(7, TEXT), since(2, until(4, I64)), all![TEXT, all![I32, I64, since(6, I32), TEXT]]] }
        }
        ApiKey::OffsetFetch => {
            const {
                &[
                    until(7, TEXT),
                    all![0..=7; TEXT, all![I32]],
                    all![8..=i16::MAX; TEXT, since(9, TEXT), since(9, I32), all![TEXT, all![I32]]],
                ]
            }
        }
        ApiKey::FindCoordinator => const { &[until(3, TEXT), since(1, I8), all![4..=i16::MAX; TEXT]] },
        ApiKey::JoinGroup => const { &[TEXT, I32, since(1, I32), TEXT, since(5, TEXT), TEXT, all![TEXT, BYTES]] },
        ApiKey::SyncGroup => const { &[TEXT, I32, TEXT, since(3, TEXT), since(5, TEXT), since(5, TEXT), all![TEXT, BYTES]] },
        ApiKey::LeaveGroup => const { &[TEXT, until(2, TEXT), all![3..=i16::MAX; TEXT, TEXT, since(5, TEXT)]] },
        ApiKey::DescribeGroups | ApiKey::DeleteGroups => const { &[all![TEXT]] },
        ApiKey::ListGroups => const { &[all![4..=i16::MAX; TEXT], all![5..=i16::MAX; TEXT]] },
        ApiKey::CreateTopics => const { &[all![TEXT, I32, I16, all![I32, all![I32]], all![TEXT, TEXT]]] },
        ApiKey::DeleteTopics => const { &[all![6..=i16::MAX; TEXT, ID], all![0..=5; TEXT]] },
        ApiKey::DeleteRecords => const { &[all![TEXT, all![I32, I64]]] },
        ApiKey::OffsetForLeaderEpoch => const { &[since(3, I32), all![TEXT, all![I32, I32, I32]]] },
        ApiKey::DescribeConfigs => const { &[all![I8, TEXT, all![TEXT]]] },
        ApiKey::AlterConfigs => const { &[all![I8, TEXT, all![TEXT, TEXT]]] },
        ApiKey::IncrementalAlterConfigs => const { &[all![I8, TEXT, all![TEXT, I8, TEXT]]] },
        ApiKey::CreatePartitions => const { &[all![TEXT, I32, all![all![I32]]]] },
        ApiKey::OffsetDelete => const { &[TEXT, all![TEXT, all![I32]]] },
        ApiKey::DescribeTopicPartitions => const { &[all![TEXT]] },
        _ => const { &[] },
    }
}

/// Elements that have no fields of their own to be tagged: arrays of numbers and of strings.
fn is_primitive(key: ApiKey, elements: &[Field]) -> bool {
    // One field alone is a primitive, but for the requests whose structures happen to have a single field.
    let structure = matches!(key, ApiKey::Metadata | ApiKey::DescribeTopicPartitions | ApiKey::CreatePartitions);
    let number = matches!(elements, [Field(Kind::Fixed(_), ..)]);
    elements.len() == 1 && (number || !structure)
}

struct Walk<'a> {
    key: ApiKey,
    version: i16,
    flexible: bool,
    rest: &'a [u8],
    elements: u32,
}

/// Checks that a request's arrays are as long as they say.
pub(crate) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<(), String> {
    let flexible = key.request_header_version(version) >= 2;
    Walk { key, version, flexible, rest: body, elements: 0 }.fields(layout(key))
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), String> {
        for Field(kind, min, max) in fields {
            if (*min..=*max).contains(&self.version) {
                match kind {
                    Kind::Fixed(n) => self.skip(*n as u64)?,
                    Kind::Text | Kind::Bytes => {
                        let wide = matches!(kind, Kind::Bytes);
                        if let Some(n) = self.length(wide)? {
                            self.skip(u64::from(n))?;
                        }
                    }
                    Kind::Array(elements) => self.array(elements)?,
                }
            }
        }
        Ok(())
    }

    fn array(&mut self, elements: &[Field]) -> Result<(), String> {
        let Some(n) = self.length(true)? else { return Ok(()) };
        // Every element takes a byte at least, so a larger count is a lie at first sight.
        if n as usize > self.rest.len() || self.elements.saturating_add(n) > MOST_ELEMENTS {
            return Err(format!("an array of {n} elements in {} bytes", self.rest.len()));
        }
        self.elements += n;
        for _ in 0..n {
            self.fields(elements)?;
            if self.flexible && !is_primitive(self.key, elements) {
                self.tags()?;
            }
        }
        Ok(())
    }

    fn tags(&mut self) -> Result<(), String> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let size = self.varint()?;
            self.skip(u64::from(size))?;
        }
        Ok(())
    }

    /// A length; `None` is null. In flexible versions all of them are compact; else strings have two bytes, others four.
    fn length(&mut self, wide: bool) -> Result<Option<u32>, String> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        let n = if wide { i32::from_be_bytes(self.take()?) } else { i32::from(i16::from_be_bytes(self.take()?)) };
        match n {
            -1 => Ok(None),
            n => u32::try_from(n).map(Some).map_err(|_| format!("a length of {n}")),
        }
    }

    fn varint(&mut self) -> Result<u32, String> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of more than 32 bits".into())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or("it is cut")?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, n: u64) -> Result<(), String> {
        let n = usize::try_from(n).map_err(|_| "it is cut")?;
        self.rest = self.rest.get(n..).ok_or("it is cut")?;
        Ok(())
    }
}
