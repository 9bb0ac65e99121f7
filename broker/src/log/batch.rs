//! The record batch, format 2: its header, which is all that the broker reads of a producer's data.
//!
//! May assume nothing about the bytes. Promises: what parses here has a sane length and layout; whether the content is
//! intact is the CRC's question, asked once at produce and once at recovery.

/// Bytes before the records: 12 of envelope (base offset, length) and 49 of header.
pub(crate) const HEADER: usize = 61;
/// Envelope: base offset and length, which the length field does not count.
pub(crate) const ENVELOPE: usize = 12;
/// The CRC covers everything from the attributes on, so offset and leader epoch can be patched without touching it.
const CRC_FROM: usize = 21;

/// The header of one record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch, envelope included.
    pub(crate) size: usize,
    pub(crate) magic: i8,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) count: i32,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Header {
    /// Reads a header; `None` when the bytes are too few or the length field cannot be right.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let length = i32::from_be_bytes(array(bytes, 8)?);
        let size = usize::try_from(length).ok()?.checked_add(ENVELOPE)?;
        if size < HEADER {
            return None;
        }
        Some(Self {
            base_offset: i64::from_be_bytes(array(bytes, 0)?),
            size,
            magic: i8::from_be_bytes(array(bytes, 16)?),
            crc: u32::from_be_bytes(array(bytes, 17)?),
            attributes: i16::from_be_bytes(array(bytes, 21)?),
            last_offset_delta: i32::from_be_bytes(array(bytes, 23)?),
            base_timestamp: i64::from_be_bytes(array(bytes, 27)?),
            max_timestamp: i64::from_be_bytes(array(bytes, 35)?),
            producer_id: i64::from_be_bytes(array(bytes, 43)?),
            producer_epoch: i16::from_be_bytes(array(bytes, 51)?),
            base_sequence: i32::from_be_bytes(array(bytes, 53)?),
            count: i32::from_be_bytes(array(bytes, 57)?),
        })
    }

    /// The offset after the batch's last record.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// The sequence number of the last record; sequences wrap at `i32::MAX` back to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        let sum = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (sum % (i64::from(i32::MAX) + 1)) as i32
    }

    /// The compression codec's number.
    pub(crate) fn codec(&self) -> i16 {
        self.attributes & 0x07
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & 0x10 != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & 0x20 != 0
    }

    /// Whether an idempotent producer wrote it.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0 && self.base_sequence >= 0
    }
}

/// Whether the content of exactly one batch matches its checksum.
pub(crate) fn crc_matches(batch: &[u8], header: &Header) -> bool {
    batch.len() == header.size && batch.get(CRC_FROM..).is_some_and(|b| crc32c::crc32c(b) == header.crc)
}

/// Gives a batch its place in the log: the two fields that are the broker's to write.
pub(crate) fn place(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A valid uncompressed batch with one tiny record per timestamp.
    pub(crate) fn batch(producer: Option<(i64, i16, i32)>, timestamps: &[i64]) -> Vec<u8> {
        let base = timestamps.first().copied().unwrap_or(0);
        let mut records = Vec::new();
        for (i, ts) in timestamps.iter().enumerate() {
            let mut body = vec![0u8];
            varint(&mut body, ts - base);
            varint(&mut body, i as i64);
            varint(&mut body, -1);
            varint(&mut body, 1);
            body.push(b'v');
            varint(&mut body, 0);
            varint(&mut records, body.len() as i64);
            records.extend_from_slice(&body);
        }
        assemble(producer, timestamps, 0, &records)
    }

    /// A batch around records that are already encoded (and compressed with `codec`).
    pub(crate) fn assemble(producer: Option<(i64, i16, i32)>, timestamps: &[i64], codec: i16, records: &[u8]) -> Vec<u8> {
        let (id, epoch, sequence) = producer.unwrap_or((-1, -1, -1));
        let mut b = vec![0u8; HEADER];
        b[8..12].copy_from_slice(&((HEADER - ENVELOPE + records.len()) as i32).to_be_bytes());
        b[16] = 2;
        b[21..23].copy_from_slice(&codec.to_be_bytes());
        b[23..27].copy_from_slice(&(timestamps.len() as i32 - 1).to_be_bytes());
        b[27..35].copy_from_slice(&timestamps.first().copied().unwrap_or(0).to_be_bytes());
        b[35..43].copy_from_slice(&timestamps.iter().copied().max().unwrap_or(0).to_be_bytes());
        b[43..51].copy_from_slice(&id.to_be_bytes());
        b[51..53].copy_from_slice(&epoch.to_be_bytes());
        b[53..57].copy_from_slice(&sequence.to_be_bytes());
        b[57..61].copy_from_slice(&(timestamps.len() as i32).to_be_bytes());
        b.extend_from_slice(records);
        let crc = crc32c::crc32c(&b[CRC_FROM..]);
        b[17..21].copy_from_slice(&crc.to_be_bytes());
        b
    }

    /// Zigzag varint, as records use it.
    pub(crate) fn varint(out: &mut Vec<u8>, value: i64) {
        let mut v = ((value << 1) ^ (value >> 63)) as u64;
        while v >= 0x80 {
            out.push(v as u8 | 0x80);
            v >>= 7;
        }
        out.push(v as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_short_or_absurd_bytes_do_not() {
        let bytes = testing::batch(Some((7, 1, 40)), &[100, 300, 200]);
        let h = Header::parse(&bytes).unwrap();
        assert_eq!((h.size, h.count, h.max_timestamp, h.last_sequence()), (bytes.len(), 3, 300, 42));
        assert!(crc_matches(&bytes, &h));
        assert_eq!(Header::parse(&bytes[..60]), None);
        let mut absurd = bytes.clone();
        absurd[8..12].copy_from_slice(&(-5i32).to_be_bytes());
        assert_eq!(Header::parse(&absurd), None);
    }

    #[test]
    fn placing_a_batch_leaves_its_checksum_valid_and_a_flipped_bit_does_not() {
        let mut bytes = testing::batch(None, &[1, 2]);
        place(&mut bytes, 1_000, 0);
        let h = Header::parse(&bytes).unwrap();
        assert_eq!((h.base_offset, h.next_offset()), (1_000, 1_002));
        assert!(crc_matches(&bytes, &h));
        *bytes.last_mut().unwrap() ^= 1;
        assert!(!crc_matches(&bytes, &h));
    }

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        let bytes = testing::batch(Some((7, 0, i32::MAX)), &[1, 2, 3]);
        assert_eq!(Header::parse(&bytes).unwrap().last_sequence(), 1);
    }
}
