//! The examples of RFC 7541, tables that turn over, and what joins late.

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.replace(' ', "");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The fields of a block as lines; `?` is what is not known.
fn read(decoder: &mut Decoder, block: &[u8], is_whole: bool) -> Result<Vec<String>, Invalid> {
    let mut fields = Vec::new();
    let text = |text: &Text| text.known().map_or("?".to_owned(), |text| String::from_utf8(text.to_vec()).unwrap());
    decoder.decode(block, is_whole, |name, value| fields.push(format!("{}: {}", text(name), text(value))))?;
    Ok(fields)
}

fn whole(decoder: &mut Decoder, hex: &str) -> Result<Vec<String>, Invalid> {
    read(decoder, &bytes(hex), true)
}

#[test]
fn the_requests_of_the_rfc_read_as_it_says() {
    for first in ["828684410f7777772e6578616d706c652e636f6d", "828684418cf1e3c2e5f23a6ba0ab90f4ff"] {
        let mut decoder = Decoder::new(true, None);
        let common = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
        assert_eq!(whole(&mut decoder, first).unwrap(), common);
        let second = whole(&mut decoder, "828684be58086e6f2d6361636865").unwrap();
        assert_eq!(
            (&second[..4], &second[4..]),
            (&common.map(str::to_owned)[..], &["cache-control: no-cache".to_owned()][..])
        );
        let third = whole(&mut decoder, "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565").unwrap();
        assert_eq!(third[2..], [":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"]);
    }
}

const RESPONSES: [&str; 3] = [
    "4882640258 85aec3771a4b 6196d07abe941054d444a8200595040b8166e082a62d1bff 6e919d29ad171863c78f0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f36\
     72c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
];

#[test]
fn entries_leave_a_small_table_as_the_rfc_says() {
    let mut decoder = Decoder::new(true, Some(4096));
    assert_eq!(whole(&mut decoder, "3fe101").unwrap(), Vec::<String>::new(), "a table of 256 bytes");
    let statuses = RESPONSES.map(|block| whole(&mut decoder, block).unwrap());
    assert_eq!(statuses.each_ref().map(|fields| fields.len()), [4, 4, 6]);
    assert_eq!(statuses.each_ref().map(|fields| fields[0].as_str()), [":status: 302", ":status: 307", ":status: 200"]);
    assert_eq!(statuses[1][3], "location: https://www.example.com");
    assert_eq!(statuses[2][5], "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    // The table holds three entries by now.
    assert_eq!(whole(&mut decoder, "be").unwrap(), [statuses[2][5].as_str()]);
    assert_eq!(whole(&mut decoder, "c0").unwrap(), ["date: Mon, 21 Oct 2013 20:13:22 GMT"]);
    assert_eq!(whole(&mut decoder, "c1"), Err(Invalid));
}

#[test]
fn what_was_entered_before_is_unknown_and_no_error() {
    let mut decoder = Decoder::new(false, None);
    let fields = whole(&mut decoder, RESPONSES[1]).unwrap();
    assert_eq!(fields, [":status: 307", "?: ?", "?: ?", "?: ?"]);
    // 63 is the newest entry, which is known; a name may be unknown, and its value is not.
    assert_eq!(whole(&mut decoder, "be").unwrap(), [":status: 307"]);
    assert_eq!(whole(&mut decoder, "7f0103616263 be bf").unwrap(), ["?: abc", "?: abc", ":status: 307"]);
    decoder.forget();
    assert_eq!(whole(&mut decoder, "be").unwrap(), ["?: ?"]);
}

#[test]
fn a_size_beyond_the_limit_is_an_error_where_the_limit_is_known() {
    for (limit, expected) in [(Some(4096), Err(Invalid)), (Some(8192), Ok(Vec::new())), (None, Ok(Vec::new()))] {
        // 8,192 bytes.
        assert_eq!(whole(&mut Decoder::new(true, limit), "3fe13f"), expected, "{limit:?}");
    }
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(true, None);
    whole(&mut decoder, "40016101 62").unwrap();
    assert_eq!(whole(&mut decoder, "be").unwrap(), ["a: b"]);
    assert_eq!(whole(&mut decoder, "20 40016301 64").unwrap(), ["c: d"], "a table of no bytes");
    assert_eq!(whole(&mut decoder, "be"), Err(Invalid));
}

#[test]
fn every_prefix_of_a_block_is_short_and_gives_its_first_fields() {
    for block in RESPONSES.map(bytes) {
        let fields = read(&mut Decoder::new(false, None), &block, true).unwrap();
        for len in 0..block.len() {
            let part = read(&mut Decoder::new(false, None), &block[..len], false).unwrap();
            assert_eq!(part, fields[..part.len()], "{len} bytes");
            assert!(part.len() < fields.len());
        }
    }
}

#[test]
fn what_is_no_block_is_an_error() {
    for hex in [
        "80",                     // an index of 0
        "be",                     // of an empty table
        "40ffffffffff0f",         // a length that nothing has
        "ffffffffffffffffffffff", // a number without an end
        "00",                     // no name
        "000161",                 // no value
        "0081000161",             // a name whose padding is no padding
        "0084ffffffff0161",       // the end of the string within it
    ] {
        assert_eq!(whole(&mut Decoder::new(true, None), hex), Err(Invalid), "{hex}");
    }
}
