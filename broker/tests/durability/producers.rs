//! Idempotent producers on the wire: what a retry is told, also after a restart.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest, ProduceResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use tributary_broker::{Broker, Config};

use crate::clients::{create_topic, files};
use crate::wire::Wire;

const OUT_OF_ORDER: i16 = 45;
const FENCED: i16 = 47;

fn batch(producer: i64, epoch: i16, sequence: i32, count: i32) -> Bytes {
    let record = |i: i32| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: producer,
        producer_epoch: epoch,
        timestamp_type: TimestampType::Creation,
        offset: i64::from(i),
        sequence: sequence + i,
        timestamp: 1_000,
        key: None,
        value: Some(Bytes::from_static(b"v")),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let mut out = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut out, &records, &options).unwrap();
    out.freeze()
}

/// (error code, base offset)
fn produce(wire: &mut Wire, records: Bytes) -> (i16, i64) {
    let p = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let t = TopicProduceData::default().with_name(TopicName(StrBytes::from_static_str("t"))).with_partition_data(vec![p]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![t]);
    let answer: ProduceResponse = wire.ask(ApiKey::Produce, 9, &request);
    let p = &answer.responses[0].partition_responses[0];
    (p.error_code, p.base_offset)
}

fn new_id(wire: &mut Wire) -> i64 {
    let request = InitProducerIdRequest::default().with_transactional_id(None);
    let answer: InitProducerIdResponse = wire.ask(ApiKey::InitProducerId, 4, &request);
    assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
    answer.producer_id.0
}

#[test]
fn a_retry_is_told_where_the_first_one_went_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(Config::new(dir.path())).unwrap();
    create_topic(&broker.addr().to_string(), "t", 1, &[("segment.bytes", "1024")]);
    let mut wire = Wire::connect(broker.addr());
    let (a, b) = (new_id(&mut wire), new_id(&mut wire));
    assert_ne!(a, b);
    let mut expected = 0;
    for i in 0..30 {
        assert_eq!(produce(&mut wire, batch(a, 0, i * 3, 3)), (0, expected));
        expected += 3;
    }
    assert_eq!(produce(&mut wire, batch(b, 0, 0, 2)), (0, 90));
    for restart in ["none", "clean", "unclean", "unclean, without any snapshot"] {
        if restart != "none" {
            broker.stop().unwrap();
            if restart != "clean" {
                // As a crash leaves it: no mark, and no snapshot of the end (what is left must be walked for).
                std::fs::remove_file(dir.path().join("clean-shutdown")).unwrap();
                let mut snapshots = files(dir.path(), "t", 0, "producers");
                assert!(snapshots.len() >= 2, "{snapshots:?}");
                let gone = if restart == "unclean" { snapshots.split_off(snapshots.len() - 1) } else { snapshots };
                gone.iter().for_each(|s| std::fs::remove_file(s).unwrap());
            }
            broker = Broker::start(Config::new(dir.path())).unwrap();
            wire = Wire::connect(broker.addr());
        }
        assert_eq!(produce(&mut wire, batch(a, 0, 87, 3)), (0, 87), "the last one again, restart {restart}");
        assert_eq!(produce(&mut wire, batch(a, 0, 75, 3)), (0, 75), "the fifth last one again, restart {restart}");
        assert_eq!(produce(&mut wire, batch(b, 0, 0, 2)), (0, 90), "the other producer's, restart {restart}");
        assert_eq!(produce(&mut wire, batch(a, 0, 72, 3)).0, OUT_OF_ORDER, "older than the window, restart {restart}");
        assert_eq!(produce(&mut wire, batch(a, 0, 93, 3)).0, OUT_OF_ORDER, "a gap, restart {restart}");
    }
    let c = new_id(&mut wire);
    assert!(c > b, "ids are not given out twice: {c} after {b}");
    assert_eq!(produce(&mut wire, batch(a, 1, 0, 1)), (0, 92), "a new epoch begins at zero");
    assert_eq!(produce(&mut wire, batch(a, 0, 90, 1)).0, FENCED);
}
