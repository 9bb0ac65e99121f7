//! A client that speaks one request at a time and reads answers to their last byte.

#![allow(dead_code, reason = "two test programs share it, and each uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

pub(crate) struct Wire(TcpStream);

/// A request's frame; the body is encoded in `encoded_as`, the header says `version`.
pub(crate) fn frame(key: ApiKey, encoded_as: i16, version: i16, request: &impl Encodable) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("wire")));
    let mut bytes = BytesMut::new();
    bytes.put_i32(0);
    header.encode(&mut bytes, key.request_header_version(version)).unwrap();
    request.encode(&mut bytes, encoded_as).unwrap_or_else(|e| panic!("{key:?} {encoded_as}: {e}"));
    let length = (bytes.len() - 4) as i32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes.to_vec()
}

impl Wire {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.0.write_all(frame).unwrap();
    }

    fn answer(&mut self) -> std::io::Result<Bytes> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let mut body = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body)?;
        Ok(body.into())
    }

    pub(crate) fn receive<T: Decodable>(&mut self, key: ApiKey, version: i16) -> T {
        let mut body = self.answer().unwrap_or_else(|e| panic!("no answer to {key:?} {version}: {e}"));
        let header = ResponseHeader::decode(&mut body, key.response_header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7);
        let answer = T::decode(&mut body, version).unwrap_or_else(|e| panic!("{key:?} {version}: {e}"));
        assert!(body.is_empty(), "{key:?} {version}: {} bytes too many", body.len());
        answer
    }

    pub(crate) fn ask<T: Decodable>(&mut self, key: ApiKey, version: i16, request: &impl Encodable) -> T {
        self.send(&frame(key, version, version, request));
        self.receive(key, version)
    }

    /// Sends bytes; `None` when the broker hung up instead of answering. Running into the time limit is neither.
    pub(crate) fn try_ask(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.write_all(bytes).ok()?;
        match self.answer() {
            Ok(_) => Some(()),
            Err(e) => {
                assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "neither an answer nor the end: {bytes:?}");
                None
            }
        }
    }

    pub(crate) fn correlation_id(&mut self) -> i32 {
        let body = self.answer().unwrap();
        i32::from_be_bytes(body[..4].try_into().unwrap())
    }
}
