//! Decompression, for the one question that needs it: which record of a batch has this timestamp?
//!
//! May assume: the batch's CRC was checked when it came in; the producer may still have written nonsense inside.
//! Promises: reads as a stream, so that a batch that explodes when decompressed costs time but not memory; nonsense is an
//! error, never a panic.

use std::io::{self, BufReader, Read};

use super::batch::{HEADER, Header};

/// Raw snappy cannot be read as a stream; nothing larger than this is unpacked.
const SNAPPY_LIMIT: usize = 256 * 1024 * 1024;
/// How Java's snappy library begins its chunked format.
const XERIAL: &[u8] = b"\x82SNAPPY\0";

/// The first record at or after both `timestamp` and offset `from`, as (timestamp, offset).
pub(crate) fn first_at_or_after(batch: &[u8], timestamp: i64, from: i64) -> io::Result<Option<(i64, i64)>> {
    let header = Header::parse(batch).ok_or_else(|| bad("no header"))?;
    let mut records = BufReader::new(reader(batch, &header)?);
    for _ in 0..header.count {
        let (ts, offset) = next(&mut records, &header)?;
        if ts >= timestamp && offset >= from {
            return Ok(Some((ts, offset)));
        }
    }
    Ok(None)
}

fn reader<'a>(batch: &'a [u8], header: &Header) -> io::Result<Box<dyn Read + 'a>> {
    let body = batch.get(HEADER..).unwrap_or_default();
    Ok(match header.codec() {
        0 => Box::new(body),
        1 => Box::new(flate2::read::MultiGzDecoder::new(body)),
        2 => Box::new(io::Cursor::new(unsnappy(body)?)),
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
        4 => Box::new(zstd::stream::read::Decoder::new(body)?),
        other => return Err(bad(&format!("unknown codec {other}"))),
    })
}

/// Reads one record, keeping only where it stands in time and in the log.
fn next(records: &mut impl Read, header: &Header) -> io::Result<(i64, i64)> {
    let length = varint(records)?.0;
    let mut attributes = [0u8];
    records.read_exact(&mut attributes)?;
    let (timestamp_delta, a) = varint(records)?;
    let (offset_delta, b) = varint(records)?;
    let rest = length.checked_sub(1 + a + b).and_then(|r| u64::try_from(r).ok());
    let rest = rest.ok_or_else(|| bad("a record's length is too small for its fields"))?;
    if io::copy(&mut records.take(rest), &mut io::sink())? != rest {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((header.base_timestamp.saturating_add(timestamp_delta), header.base_offset.saturating_add(offset_delta)))
}

/// A zigzag varint and the number of bytes that it took.
fn varint(from: &mut impl Read) -> io::Result<(i64, i64)> {
    let mut value = 0u64;
    for i in 0..10 {
        let mut byte = [0u8];
        from.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << (7 * i);
        if byte[0] & 0x80 == 0 {
            return Ok(((value >> 1) as i64 ^ -((value & 1) as i64), i64::from(i) + 1));
        }
    }
    Err(bad("a varint of more than ten bytes"))
}

fn unsnappy(body: &[u8]) -> io::Result<Vec<u8>> {
    let Some(mut chunks) = body.strip_prefix(XERIAL).and_then(|b| b.get(8..)) else {
        let mut out = Vec::new();
        unsnappy_chunk(body, &mut out)?;
        return Ok(out);
    };
    let mut out = Vec::new();
    while let Some((length, rest)) = chunks.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (chunk, rest) = rest.split_at_checked(length).ok_or_else(|| bad("a cut snappy chunk"))?;
        unsnappy_chunk(chunk, &mut out)?;
        chunks = rest;
    }
    Ok(out)
}

fn unsnappy_chunk(chunk: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let length = snap::raw::decompress_len(chunk).map_err(io::Error::other)?;
    let old = out.len();
    if old + length > SNAPPY_LIMIT {
        return Err(bad("a snappy batch that is too large to unpack"));
    }
    out.resize(old + length, 0);
    snap::raw::Decoder::new().decompress(chunk, &mut out[old..]).map_err(io::Error::other)?;
    Ok(())
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::{place, testing};
    use std::io::Write;

    const TIMES: [i64; 4] = [1_000, 3_000, 2_000, 4_000];

    fn compressed(codec: i16) -> Vec<u8> {
        let plain = testing::batch(None, &TIMES)[HEADER..].to_vec();
        let body = match codec {
            1 => {
                let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                e.write_all(&plain).unwrap();
                e.finish().unwrap()
            }
            2 => snap::raw::Encoder::new().compress_vec(&plain).unwrap(),
            3 => {
                let mut e = lz4_flex::frame::FrameEncoder::new(Vec::new());
                e.write_all(&plain).unwrap();
                e.finish().unwrap()
            }
            4 => zstd::encode_all(plain.as_slice(), 1).unwrap(),
            _ => plain,
        };
        let mut batch = testing::assemble(None, &TIMES, codec, &body);
        place(&mut batch, 50, 0);
        batch
    }

    #[test]
    fn the_exact_record_is_found_under_every_codec() {
        for codec in 0..=4 {
            let batch = compressed(codec);
            assert_eq!(first_at_or_after(&batch, 0, 0).unwrap(), Some((1_000, 50)), "codec {codec}");
            assert_eq!(first_at_or_after(&batch, 1_500, 0).unwrap(), Some((3_000, 51)), "codec {codec}");
            assert_eq!(first_at_or_after(&batch, 3_001, 0).unwrap(), Some((4_000, 53)), "codec {codec}");
            assert_eq!(first_at_or_after(&batch, 4_001, 0).unwrap(), None, "codec {codec}");
        }
    }

    #[test]
    fn snappy_in_javas_chunks_reads_too() {
        let plain = testing::batch(None, &TIMES)[HEADER..].to_vec();
        let mut body = [XERIAL, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
        for half in plain.chunks(plain.len() / 2 + 1) {
            let chunk = snap::raw::Encoder::new().compress_vec(half).unwrap();
            body.extend_from_slice(&(chunk.len() as u32).to_be_bytes());
            body.extend_from_slice(&chunk);
        }
        let batch = testing::assemble(None, &TIMES, 2, &body);
        assert_eq!(first_at_or_after(&batch, 4_000, 0).unwrap(), Some((4_000, 3)));
    }

    #[test]
    fn nonsense_inside_a_batch_is_an_error() {
        for codec in 0..=5 {
            let batch = testing::assemble(None, &TIMES, codec, &[0xff; 40]);
            assert!(first_at_or_after(&batch, 0, 0).is_err(), "codec {codec}");
        }
    }
}
