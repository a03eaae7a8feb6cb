//! Small files made for the purpose; real libraries are in `tests/tls_sites`.

use lab::elf::{AARCH64, ANYWHERE, CODE, CODE_OFFSET, DATA, FIXED, FUNCTION, X86_64, calls, file, go_table};

use super::*;

const LABELS: [&str; 2] = ["CLIENT_RANDOM", "EXPORTER_SECRET"];
const WRITE_KEY_LOG: &str = "crypto/tls.(*Config).writeKeyLog";
/// `push rbx; ret`.
const PUSHES: [u8; 2] = [0x53, 0xc3];
/// `cmp rsp, [r14+16]; jbe; ret`: how Go's functions begin since 1.17.
const GO: [u8; 7] = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x00, 0xc3];

fn library(body: &[u8], labels: &[&str]) -> Vec<u8> {
    let (code, data) = calls(body, labels, &[]);
    file(ANYWHERE, X86_64, &code, &data)
}

fn go(code: &[u8], text: u64) -> Vec<u8> {
    file(FIXED, X86_64, code, &go_table(&[("main.main", 0), (WRITE_KEY_LOG, 0)], text))
}

/// What is chosen in a function of this body: bytes from its start, shape, emulated.
#[track_caller]
fn chosen(body: &[u8]) -> (u64, Shape, bool) {
    let site = find(&library(body, &LABELS)).unwrap();
    assert_eq!(site.function, CODE_OFFSET + FUNCTION);
    (site.offset - site.function, site.shape, site.emulated)
}

#[test]
fn an_instruction_that_the_kernel_emulates_is_chosen_while_the_arguments_are_in_place() {
    for (body, chosen_there) in [
        (&PUSHES[..], (0, Shape::LogSecret, true)),
        // push r15
        (&[0x41, 0x57, 0xc3], (0, Shape::LogSecret, true)),
        // endbr64; push rbp
        (&[0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3], (4, Shape::LogSecret, true)),
        // sub rsp, 8; test rdi, rdi; je
        (&[0x48, 0x83, 0xec, 0x08, 0x48, 0x85, 0xff, 0x74, 0x00, 0xc3], (7, Shape::LogSecret, true)),
        // mov rax, rsi; xchg ax, ax; push rbx: a nop with a prefix is passed over
        (&[0x48, 0x89, 0xf0, 0x66, 0x90, 0x53, 0xc3], (5, Shape::LogSecret, true)),
    ] {
        assert_eq!(chosen(body), chosen_there, "{body:02x?}");
    }
}

#[test]
fn else_the_functions_start_is_chosen() {
    for body in [
        // mov rdx, rax; push rbx: the secret's address is gone
        &[0x48, 0x89, 0xc2, 0x53, 0xc3][..],
        // mov ecx, eax; push rbx
        &[0x89, 0xc1, 0x53, 0xc3],
        // xor dl, dl; push rbx: a part of a register is written
        &[0x30, 0xd2, 0x53, 0xc3],
        // pop rsi; push rbx
        &[0x5e, 0x53, 0xc3],
        // sub rsp, 8; ret; push rbx: behind the function's end
        &[0x48, 0x83, 0xec, 0x08, 0xc3, 0x53, 0xc3],
        // sub rsp, 8; call rax; push rbx
        &[0x48, 0x83, 0xec, 0x08, 0xff, 0xd0, 0x53, 0xc3],
        // data16 push rbx: a prefix that the kernel does not emulate
        &[0x66, 0x53, 0x48, 0x89, 0xc2, 0xc3],
    ] {
        assert_eq!(chosen(body), (0, Shape::LogSecret, false), "{body:02x?}");
    }
}

#[test]
fn where_openssl_moves_its_arguments_and_jumps_the_jump_is_chosen() {
    // mov rax, rdi; mov r8, rdx; mov rdi, rsi; mov r9, rcx; lea rdx, [rax+0x160]; mov ecx, 32; mov rsi, rax; jmp
    let mut body = vec![0x48, 0x89, 0xf8, 0x49, 0x89, 0xd0, 0x48, 0x89, 0xf7, 0x49, 0x89, 0xc9];
    body.extend([0x48, 0x8d, 0x90, 0x60, 0x01, 0, 0, 0xb9, 32, 0, 0, 0, 0x48, 0x89, 0xc6, 0xe9, 0, 0, 0, 0]);
    assert_eq!(chosen(&body), (27, Shape::NssKeylog, true));
    // 33 bytes of another thing than a client random
    body[20] = 33;
    assert_eq!(chosen(&body), (0, Shape::LogSecret, false));
}

#[test]
fn labels_are_followed_to_one_function_or_refused() {
    assert_eq!(find(&library(&PUSHES, &["CLIENT_RANDOM"])), Err(NotFound::Several), "without a name or second label");
    assert_eq!(find(&library(&PUSHES, &["EXPORTER_SECRET"])), Err(NotFound::NoLibrary));
    // The first label is loaded and its register written again: mov rsi, rax
    let (code, data) = calls(&PUSHES, &LABELS, &[0x48, 0x89, 0xc6]);
    assert_eq!(find(&file(ANYWHERE, X86_64, &code, &data)), Err(NotFound::NoCall));
    // The function is the stub of one in another file: jmp [rip]
    assert_eq!(find(&library(&[0xff, 0x25, 0, 0, 0, 0], &LABELS)), Err(NotFound::NoFunction));
    // The second label leads one byte further.
    let (mut code, data) = calls(&PUSHES, &LABELS, &[]);
    let last_call = code.len() - 5;
    code[last_call] += 1;
    assert_eq!(find(&file(ANYWHERE, X86_64, &code, &data)), Err(NotFound::Several));
}

#[test]
fn a_label_may_be_the_end_of_another_and_stand_at_a_fixed_address() {
    let (mut code, data) = calls(&PUSHES, &["CLIENT_RANDOM", "EARLY_EXPORTER_SECRET"], &[]);
    let load = code.len() - 1 - 12;
    // mov esi, imm32 of the label's end; nop; nop
    let label = u32::try_from(DATA + 14 + 6).unwrap();
    code[load] = 0xbe;
    code[load + 1..load + 5].copy_from_slice(&label.to_le_bytes());
    code[load + 5..load + 7].fill(0x90);
    let site = find(&file(FIXED, X86_64, &code, &data)).unwrap();
    assert_eq!((site.offset, site.library), (CODE_OFFSET + FUNCTION, Library::Unnamed));
    assert_eq!(find(&file(ANYWHERE, X86_64, &code, &data)), Err(NotFound::Several), "no address, but a number");
}

#[test]
fn another_machine_is_refused_only_where_there_is_something_to_find() {
    let (code, data) = calls(&PUSHES, &LABELS, &[]);
    assert_eq!(find(&file(ANYWHERE, AARCH64, &code, &data)), Err(NotFound::Architecture(AARCH64)));
    assert_eq!(find(&file(ANYWHERE, AARCH64, &code, &[])), Err(NotFound::NoLibrary));
}

#[test]
fn gos_function_is_found_through_its_table_wherever_the_code_starts() {
    let site = find(&go(&GO, CODE)).unwrap();
    assert_eq!((site.function, site.offset), (CODE_OFFSET, CODE_OFFSET + 4));
    assert_eq!((site.shape, site.emulated, site.library), (Shape::GoKeyLog, true, Library::Go));

    // Without the start in the table, from the runtime's description of the module: in place, or as relocations.
    let table = go_table(&[(WRITE_KEY_LOG, 0)], 0);
    let mut module = table.clone();
    module.resize(table.len().next_multiple_of(8) + 24 * 8, 0);
    let at = table.len().next_multiple_of(8);
    module[at..at + 8].copy_from_slice(&DATA.to_le_bytes());
    module[at + 22 * 8..at + 23 * 8].copy_from_slice(&CODE.to_le_bytes());
    assert_eq!(find(&file(FIXED, X86_64, &GO, &module)).unwrap().function, CODE_OFFSET);

    let mut relocated = table.clone();
    for word in [0x60_0000, 8, DATA, 0x60_0000 + 22 * 8, 8, CODE] {
        relocated.extend(u64::to_le_bytes(word));
    }
    assert_eq!(find(&file(ANYWHERE, X86_64, &GO, &relocated)).unwrap().function, CODE_OFFSET);
    assert_eq!(find(&file(ANYWHERE, X86_64, &GO, &table)), Err(NotFound::NoLibrary), "no start anywhere");
}

#[test]
fn gos_functions_with_arguments_on_the_stack_are_refused() {
    // mov rcx, fs:[-8]; cmp rsp, [rcx+16]; jbe
    let old = [0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x48, 0x3b, 0x61, 0x10, 0x76, 0, 0xc3];
    assert_eq!(find(&go(&old, CODE)), Err(NotFound::OldGo));
}

#[test]
fn the_version_is_the_files_own_text() {
    let (code, mut data) = calls(&PUSHES, &["CLIENT_RANDOM"], &[]);
    data.extend(b"OpenSSL 3 is not it\0OpenSSL 1.1.1w  11 Sep 2023\0");
    let site = find(&file(ANYWHERE, X86_64, &code, &data)).unwrap();
    assert_eq!((site.library, &*site.version), (Library::OpenSsl1, "1.1.1w"));

    let mut data = go_table(&[(WRITE_KEY_LOG, 0)], CODE);
    data.extend(b"\xff Go buildinf:\x08\x02");
    data.extend([0; 16]);
    data.extend(b"\x08go1.21.3\0");
    assert_eq!(find(&file(FIXED, X86_64, &GO, &data)).unwrap().version, "go1.21.3");
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    for sample in [library(&PUSHES, &LABELS), go(&GO, CODE), go(&GO, 0)] {
        for len in 0..sample.len() {
            assert!(find(&sample[..len]).is_err());
            let _ = extent(&sample[..len]);
        }
        for at in 0..sample.len() {
            for byte in [0x7f, 0xff] {
                let mut changed = sample.clone();
                changed[at] = byte;
                let _ = (find(&changed), extent(&changed));
            }
        }
    }
}
