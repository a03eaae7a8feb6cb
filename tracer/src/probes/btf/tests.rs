use super::*;

/// A tiny blob: `struct outer { int a; struct { struct inner in; }; }`, `struct inner { int x; int y; }`, an enum, and
/// a tracepoint's prototype.
fn blob() -> Vec<u8> {
    let mut strings = vec![0_u8];
    let mut name = |text: &str| {
        let at = u32::try_from(strings.len()).unwrap();
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    let (int, outer, inner, a, inn, x, y) =
        (name("int"), name("outer"), name("inner"), name("a"), name("in"), name("x"), name("y"));
    let (reason, none, some, trace) = (name("reason"), name("R_NONE"), name("R_SOME"), name("btf_trace_thing"));
    let kinds: [&[u32]; 9] = [
        &[int, KIND_INT << 24, 4, 32],
        &[inner, KIND_STRUCT << 24 | 2, 8, x, 1, 0, y, 1, 32],
        &[0, KIND_STRUCT << 24 | 1, 8, inn, 2, 0],
        &[outer, KIND_STRUCT << 24 | 2, 12, a, 1, 0, 0, 3, 32],
        &[reason, KIND_ENUM << 24 | 2, 4, none, 0, some, 7],
        // struct outer *
        &[0, KIND_PTR << 24, 4],
        // (void *, struct outer *, int)
        &[0, KIND_FUNC_PROTO << 24 | 3, 0, 0, 6, 0, 6, 0, 1],
        &[0, KIND_PTR << 24, 7],
        &[trace, KIND_TYPEDEF << 24, 8],
    ];
    let types: Vec<u8> = kinds.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
    let (types_len, strings_len) = (u32::try_from(types.len()).unwrap(), u32::try_from(strings.len()).unwrap());
    let mut out = MAGIC.to_ne_bytes().to_vec();
    out.extend([1, 0]);
    for word in [24, 0, types_len, types_len, strings_len] {
        out.extend(u32::to_ne_bytes(word));
    }
    out.extend(types);
    out.extend(strings);
    out
}

const NAMES: &[&str] = &["outer", "inner", "reason", "btf_trace_thing"];

#[test]
fn members_are_found_through_anonymous_ones_and_by_path() {
    let btf = Btf::parse(blob(), NAMES).unwrap();
    assert_eq!(btf.member("outer", "a"), Some(0));
    assert_eq!(btf.member("outer", "in.y"), Some(8));
    assert_eq!(btf.member("outer", "nothing"), None);
    assert_eq!(btf.member("nothing", "a"), None);
}

#[test]
fn enums_and_tracepoints_are_read_by_name() {
    let btf = Btf::parse(blob(), NAMES).unwrap();
    assert_eq!(btf.enum_values("reason").unwrap().get(&7).map(String::as_str), Some("R_SOME"));
    assert_eq!(btf.tracepoint_args("thing"), Some(2));
    assert_eq!(btf.tracepoint_arg_is_pointer("thing", 0), Some(true));
    assert_eq!(btf.tracepoint_arg_is_pointer("thing", 1), Some(false));
    assert_eq!(btf.tracepoint_args("other"), None);
}

#[test]
fn the_skeleton_keeps_names_and_numbers_of_what_can_be_attached_to() {
    let btf = Btf::parse(blob(), NAMES).unwrap();
    let skeleton = Btf::parse(btf.skeleton(), NAMES).unwrap();
    assert_eq!(skeleton.types.len(), btf.types.len());
    assert_eq!(skeleton.names["btf_trace_thing"], btf.names["btf_trace_thing"]);
    assert_eq!(skeleton.names.len(), 1);
}

#[test]
fn no_prefix_of_a_blob_panics_or_is_taken_for_the_whole() {
    let whole = blob();
    // Without its last strings a blob still has all of its types.
    let types_end = 24 + 4 * (4 + 9 + 6 + 9 + 7 + 3 + 9 + 3 + 3);
    for len in 0..whole.len() {
        match Btf::parse(whole[..len].to_vec(), NAMES) {
            Ok(btf) => {
                assert!(len >= types_end, "{len} bytes were enough");
                let _ = btf.member("outer", "in.y");
                let _ = btf.enum_values("reason");
            }
            Err(message) => assert!(!message.is_empty()),
        }
    }
}

#[test]
fn a_type_that_refers_to_itself_ends() {
    let mut data = blob();
    // The last type, the typedef (9), refers to itself.
    let at = 24 + 4 * (4 + 9 + 6 + 9 + 7 + 3 + 9 + 3) + 8;
    data[at..at + 4].copy_from_slice(&9_u32.to_ne_bytes());
    let btf = Btf::parse(data, NAMES).unwrap();
    assert_eq!(btf.tracepoint_args("thing"), None);
}
