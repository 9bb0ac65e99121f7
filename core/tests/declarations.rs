//! The language of `streams/*.toml`: what it accepts, and what it says when it does not.

use tributary_core::stream::{Kind, Limits, Measure, Stream, Window, parse_all};

const SALES: &str = r#"name = "sales"
topic = "sales.v1"
id = "id"
event_time = "at"
key = "shop"

[limits]
max_event_bytes = "64 KiB"

[[field]]
name = "id"
type = "text"
required = true

[[field]]
name = "at"
column = "sold_at"
type = "timestamp"
required = true

[[field]]
name = "shop"
type = "text"
required = true
allowed = ["north", "south"]

[[field]]
name = "cents"
type = "integer"
required = true
minimum = 0

[[field]]
name = "remark"
type = "text"

[[window]]
table = "sales_per_minute"
every = "1 min"
where = { shop = ["north"] }
group_by = ["shop"]
sum = { field = "cents", as = "revenue_cents" }
"#;

#[test]
fn the_built_in_stream_is_the_platform_s() {
    let s = Stream::builtin();
    assert_eq!((s.name.as_str(), s.topic.as_str(), s.limits), ("user_events", "user-events", Limits::default()));
    let columns: Vec<_> = s.fields.iter().map(|f| f.column.as_str()).collect();
    assert_eq!(columns, ["event_id", "user_id", "event_type", "page", "event_timestamp", "source"]);
    let kinds: Vec<_> = s.fields.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [Kind::Text, Kind::Integer, Kind::Text, Kind::Text, Kind::Timestamp, Kind::Text]);
    let required: Vec<_> = s.fields.iter().map(|f| f.required).collect();
    assert_eq!(required, [true, true, true, false, true, true]);
    let symbols: Vec<_> = s.fields.iter().map(|f| f.symbol).collect();
    assert_eq!(symbols, [false, false, true, false, false, true]);
    assert_eq!((s.id, s.key, s.event_time, s.fields[4].name.as_str(), s.fields[1].minimum), (0, 1, 4, "timestamp", Some(1)));
    let window = |table: &str, filter: &[(usize, &str)], group_by: &[usize], column: &str| Window {
        table: table.into(),
        every_ms: 60_000,
        filter: filter.iter().map(|(field, value)| (*field, vec![(*value).to_owned()])).collect(),
        group_by: group_by.into(),
        measure: Measure::Count { column: column.into() },
    };
    let windows = [
        window("events_per_minute", &[], &[2], "event_count"),
        window("logins_per_source", &[(2, "login")], &[5], "login_count"),
        window("purchases_per_minute", &[(2, "purchase")], &[], "purchase_count"),
    ];
    assert_eq!(s.windows, windows);
}

#[test]
fn the_examples_beside_it_read() {
    let orders = include_str!("../../examples/orders.toml");
    let user_events = include_str!("../../streams/user_events.toml");
    let streams = parse_all(&[("orders.toml", orders), ("user_events.toml", user_events), ("sales.toml", SALES)]).unwrap();
    let names: Vec<_> = streams.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["orders", "user_events", "sales"]);
    assert_eq!(streams[0].windows[0].measure, Measure::Sum { field: 5, column: "revenue_cents".into() });
    let symbols: Vec<_> = streams[0].fields.iter().filter(|f| f.symbol).map(|f| f.name.as_str()).collect();
    assert_eq!(symbols, ["status", "currency"]);
    assert_eq!(streams[2].limits, Limits { max_event_bytes: 65_536, ..Limits::default() });
}

/// What is replaced by what, and where, what and which advice the message has.
type Slip = (&'static str, &'static str, usize, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const SLIPS: &[Slip] = &[
    ("name = \"sales\"", "name = sales", 1, "TOML", "", "valid TOML"),
    ("name = \"sales\"", "name = \"Sales\"", 1, "name", "`Sales` is not a name", "\"sales\""),
    ("name = \"sales\"", "name = \"\"", 1, "name", "`` is not a name", "begin with a to z"),
    ("name = \"sales\"", "name = \"2026-sales\"", 1, "name", "`2026-sales` is not a name", "\"x_2026_sales\""),
    ("name = \"sales\"", "name = \"sales\"\ncolour = 1", 2, "colour", "is not a key of the language", "the keys here are name, topic"),
    ("name = \"sales\"\n", "", 1, "name", "is missing", "add name = \"user_events\""),
    ("topic = \"sales.v1\"", "topic = 7", 2, "topic", "is an integer, expected a text in quotes", "write topic = \"user-events\""),
    ("sales.v1", "sales/v1", 2, "topic", "Kafka does not take `sales/v1`", "1 to 249"),
    ("sales.v1", "..", 2, "topic", "Kafka does not take `..`", "1 to 249"),
    ("topic =", "topics =", 2, "topics", "is not a key", "did you mean `topic`?"),
    ("id = \"id\"", "id = \"di\"", 3, "id", "no field is named `di`", "did you mean `id`?"),
    ("id = \"id\"", "id = \"remark\"", 3, "id", "field `remark` may be missing", "add required = true to field remark"),
    ("id = \"id\"\n", "", 1, "id", "is missing", "add id = \"event_id\""),
    ("event_time = \"at\"", "event_time = \"sold_at\"", 4, "event_time", "no field is named `sold_at`", "did you mean `at`, whose column"),
    ("event_time = \"at\"", "event_time = \"id\"", 4, "event_time", "field `id` is of type text", "of type timestamp"),
    ("key = \"shop\"", "key = \"at\"", 5, "key", "field `at` is of type timestamp", "text or integer"),
    ("max_event_bytes = \"64 KiB\"", "max_event_bytes = \"64 KB\"", 8, "limits: max_event_bytes", "not such a size", "MiB"),
    ("max_event_bytes = \"64 KiB\"", "max_event_bytes = \"0 B\"", 8, "limits: max_event_bytes", "not such a size", "from 1 B"),
    ("max_event_bytes = \"64 KiB\"", "max_age = \"1 year\"", 8, "limits: max_age", "`1 year` is not such a duration", "days"),
    ("max_event_bytes = \"64 KiB\"", "max_ahead = 600", 8, "limits: max_ahead", "is an integer", "write max_ahead = \"10 min\""),
    ("max_event_bytes = \"64 KiB\"", "max_bytes = \"1 B\"", 8, "limits: max_bytes", "is not a key", "max_event_bytes"),
    ("[limits]", "[[limits]]", 7, "limits", "is a list, expected a table", "[limits]"),
    ("name = \"id\"\n", "", 10, "field number 1: name", "is missing", "the key in the JSON object"),
    ("type = \"text\"", "tpye = \"text\"", 12, "field id: tpye", "is not a key", "did you mean `type`?"),
    ("type = \"text\"", "type = \"string\"", 12, "field id: type", "`string` is not a type", "did you mean `text`?"),
    ("type = \"text\"", "type = \"txt\"", 12, "field id: type", "`txt` is not a type", "did you mean `text`?"),
    ("type = \"text\"", "type = \"json\"", 12, "field id: type", "`json` is not a type", "types are text, integer"),
    ("type = \"text\"\n", "", 10, "field id: type", "is missing", "add type"),
    ("required = true", "required = \"yes\"", 13, "field id: required", "is a text, expected true or false", "required = true"),
    ("required = true", "topic = \"x\"", 13, "field id: topic", "is not a key", "belongs above the first line in brackets"),
    ("name = \"at\"", "name = \"id\"", 16, "field id: name", "is declared twice", "remove one"),
    ("column = \"sold_at\"", "column = \"status\"", 17, "field at: column", "a column that Tributary adds itself", "event_status"),
    ("column = \"sold_at\"", "column = \"window_end\"", 17, "field at: column", "adds itself", "event_window_end"),
    ("column = \"sold_at\"", "column = \"id\"", 17, "field at: column", "already the column of another field", "another column"),
    ("column = \"sold_at\"", "column = \"soldAt\"", 17, "field at: column", "`soldAt` is not a name", "\"sold_at\""),
    ("name = \"cents\"", "name = \"amountCents\"", 28, "field amountCents: name", "fine as a JSON key but not as a column", "column = \"amount_cents\""),
    ("name = \"cents\"", "name = \"\"", 28, "field : name", "cannot be the key", "1 to 128 bytes"),
    ("name = \"cents\"", "name = \"raw\"", 28, "field raw: column", "`raw` is a column that Tributary adds itself", "event_raw"),
    ("[\"north\", \"south\"]", "[]", 25, "field shop: allowed", "allows nothing", "list the valid values"),
    ("[\"north\", \"south\"]", "[\"north\", \"north\"]", 25, "field shop: allowed", "`north` is listed twice", "once"),
    ("[\"north\", \"south\"]", "[\"north\", 2]", 25, "field shop: allowed", "is an integer, expected a text", "allowed = ["),
    ("minimum = 0", "allowed = [\"1\"]", 31, "field cents: allowed", "only a text has allowed values", "text"),
    ("minimum = 0", "minimum = 0.5", 31, "field cents: minimum", "is a number with a fraction", "minimum = 1"),
    ("minimum = 0", "minimum = 9223372036854775808", 31, "field cents: minimum", "64 bits", "minimum = 1"),
    ("allowed = [\"north\", \"south\"]", "minimum = 1", 25, "field shop: minimum", "only an integer has a minimum", "integer"),
    ("table = \"sales_per_minute\"", "table = \"sales per minute\"", 38, "window sales per minute: table", "is not a name", "sales_per_minute"),
    ("table = \"sales_per_minute\"\n", "", 37, "window number 1: table", "is missing", "events_per_minute"),
    ("every = \"1 min\"", "every = \"7 min\"", 39, "window sales_per_minute: every", "windows of 7 min do not fill a day", "5 min, 15 min"),
    ("every = \"1 min\"", "every = \"2 days\"", 39, "window sales_per_minute: every", "do not fill a day", "1 day"),
    ("every = \"1 min\"", "every = \"500 ms\"", 39, "window sales_per_minute: every", "do not fill a day", "1 s"),
    ("every = \"1 min\"", "every = \"0 s\"", 39, "window sales_per_minute: every", "`0 s` is not a duration", "10 min"),
    ("every = \"1 min\"", "every = 60", 39, "window sales_per_minute: every", "is an integer", "every = \"1 min\""),
    ("{ shop = [\"north\"] }", "{ shop = [\"nort\"] }", 40, "window sales_per_minute: where", "`nort` never happens", "did you mean `north`?"),
    ("{ shop = [\"north\"] }", "{ shop = [] }", 40, "window sales_per_minute: where", "no value would match", "list the values"),
    ("{ shop = [\"north\"] }", "{ cents = \"1\" }", 40, "window sales_per_minute: where", "field `cents` is of type integer", "only text"),
    ("{ shop = [\"north\"] }", "{ store = \"1\" }", 40, "window sales_per_minute: where", "no field is named `store`", "the fields are id, at"),
    ("{ shop = [\"north\"] }", "\"shop = north\"", 40, "window sales_per_minute: where", "is a text, expected a table", "where = {"),
    ("group_by = [\"shop\"]", "group_by = [\"remark\"]", 41, "window sales_per_minute: group_by", "`remark` may be missing", "cannot be null"),
    ("group_by = [\"shop\"]", "group_by = [\"cents\"]", 41, "window sales_per_minute: group_by", "is of type integer", "text fields"),
    ("group_by = [\"shop\"]", "group_by = [\"shop\", \"shop\"]", 41, "window sales_per_minute: group_by", "listed twice", "once"),
    ("group_by = [\"shop\"]", "group_by = [\"id\", \"id\", \"id\", \"id\"]", 41, "window sales_per_minute: group_by", "too fine", "at most 3"),
    ("field = \"cents\"", "field = \"shop\"", 42, "window sales_per_minute: sum: field", "is of type text", "use cents"),
    ("minimum = 0", "required = false", 31, "TOML", "duplicate key", "valid TOML"),
    ("as = \"revenue_cents\"", "to = \"revenue_cents\"", 42, "window sales_per_minute: sum: to", "is not a key", "field, as"),
    ("as = \"revenue_cents\"", "as = \"shop\"", 42, "window sales_per_minute: sum: as", "already a column of the table", "window_start"),
    ("as = \"revenue_cents\"", "as = \"revenue cents\"", 42, "window sales_per_minute: sum: as", "is not a name", "revenue_cents"),
    ("sum = {", "count = \"n\"\nsum = {", 42, "window sales_per_minute: count", "one measure", "second window"),
    ("sum = { field = \"cents\", as = \"revenue_cents\" }", "", 37, "window sales_per_minute: count", "nothing is added up", "event_count"),
    ("sum = { field = \"cents\", as = \"revenue_cents\" }", "count = \"updated_at\"", 42, "window sales_per_minute: count", "already a column", "choose another"),
    ("[[window]]", "[[windows]]", 37, "windows", "is not a key", "did you mean `window`?"),
    ("[[window]]", "[window]", 37, "window", "is a table, expected a list of tables", "[[window]]"),
];

#[test]
fn every_slip_is_named_with_its_place_and_what_to_write_instead() {
    let mut wrong = Vec::new();
    for (part, other, line, place, problem, help) in SLIPS {
        assert!(SALES.contains(part), "{part}");
        match Stream::parse(&SALES.replacen(part, other, 1), "streams/sales.toml") {
            Ok(_) => wrong.push(format!("accepted: {other}")),
            Err(e) => {
                let good = e.line() == *line && (place.is_empty() || e.place() == *place);
                if !good || !e.problem().contains(problem) || !e.help().contains(help) {
                    wrong.push(format!("{other}: expected line {line}, {place}, {problem}, {help}; got:\n{e}"));
                }
                let text = e.to_string();
                assert!(text.starts_with("streams/sales.toml, line ") && text.lines().count() >= 5, "{text}");
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} slips:\n{}", wrong.len(), SLIPS.len(), wrong.join("\n\n"));
}

#[test]
fn a_window_too_many_or_twice_is_refused() {
    let window = |table: &str| format!("[[window]]\ntable = \"{table}\"\nevery = \"1 h\"\ncount = \"n\"\n");
    let refused = |more: String| Stream::parse(&format!("{SALES}{more}"), "sales.toml").unwrap_err();
    let e = refused(window("sales_per_minute"));
    assert_eq!((e.line(), e.place(), e.problem()), (44, "window sales_per_minute: table", "is declared twice"));
    let e = refused((1..=16).map(|n| window(&format!("t{n}"))).collect());
    assert_eq!((e.line(), e.place(), e.problem()), (104, "window t16: table", "is one too many"));
    assert_eq!(e.help(), "declare at most 16 windows per stream");
}

#[test]
fn a_message_shows_the_line_and_marks_the_place() {
    let message =
        |part: &str, other: &str| Stream::parse(&SALES.replacen(part, other, 1), "streams/sales.toml").unwrap_err().to_string();
    assert_eq!(
        message("[\"north\"]", "[\"noth\"]"),
        r#"streams/sales.toml, line 40: window sales_per_minute: where: `noth` never happens
   |
40 | where = { shop = ["noth"] }
   |                   ^^^^^^
   = did you mean `north`? field shop allows north, south"#
    );
    assert_eq!(
        message("type = \"integer\"", "type = \"int\""),
        r#"streams/sales.toml, line 29: field cents: type: `int` is not a type
   |
29 | type = "int"
   |        ^^^^^
   = did you mean `integer`? types are text, integer, number, boolean, timestamp"#
    );
    assert_eq!(
        message("required = true\nminimum", "minimum"),
        r#"streams/sales.toml, line 41: window sales_per_minute: sum: field: field `cents` may be missing
   |
41 | sum = { field = "cents", as = "revenue_cents" }
   |                 ^^^^^^^
   = sum integer fields with required = true: sums of fractions depend on the order (use cents)"#
    );
}

#[test]
fn streams_do_not_share_a_name_a_topic_or_a_table() {
    let renamed = |name: &str, topic: &str, table: &str| {
        SALES.replace("\"sales\"", name).replace("\"sales.v1\"", topic).replace("\"sales_per_minute\"", table)
    };
    let both = |second: String| parse_all(&[("a.toml", SALES.to_owned()), ("b.toml", second)]);
    assert_eq!(both(renamed("\"b\"", "\"b\"", "\"b\"")).unwrap().len(), 2);
    for (second, line, place) in [
        (renamed("\"sales\"", "\"b\"", "\"b\""), 1, "name"),
        (renamed("\"b\"", "\"sales.v1\"", "\"b\""), 2, "topic"),
        (renamed("\"b\"", "\"b\"", "\"sales_per_minute\""), 38, "window sales_per_minute: table"),
    ] {
        let e = both(second).unwrap_err();
        assert_eq!((e.file(), e.line(), e.place()), ("b.toml", line, place));
        assert!(e.problem().contains("already taken by a.toml"), "{e}");
    }
    assert!(parse_all::<&str, &str>(&[]).unwrap().is_empty());
}

#[test]
fn no_text_makes_the_parser_panic() {
    // Every cut, and every byte replaced by a few that matter.
    for at in (0..SALES.len()).filter(|at| SALES.is_char_boundary(*at)) {
        drop(Stream::parse(&SALES[..at], "cut"));
        for other in ["\"", "[", "]", "\n", "é", "=", "{", "\0", "#"] {
            let text = format!("{}{other}{}", &SALES[..at], &SALES[at + 1..]);
            if let Err(e) = Stream::parse(&text, "changed") {
                assert!(e.line() >= 1 && !e.to_string().is_empty());
            }
        }
    }
}
