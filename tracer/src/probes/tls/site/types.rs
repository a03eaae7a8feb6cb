//! What is found in a file, and why nothing is.

use std::fmt;

/// A place in a file at which a uprobe sees the secrets of every TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Of the instruction, from the start of the file in bytes: what the kernel takes for a uprobe.
    pub offset: u64,
    /// Further places of the same shape, each in a function of its own.
    pub more: Vec<u64>,
    /// Which registers hold what there.
    pub shape: Shape,
    /// The kernel emulates the instructions, so that a hit costs one trap instead of two.
    pub emulated: bool,
    /// Where the function begins, from the start of the file in bytes.
    pub function: u64,
    pub library: Library,
    /// The library's version as it stands in the file; empty where none does.
    pub version: String,
    /// The GNU build id; empty where the file has none.
    pub build_id: Vec<u8>,
}

impl Site {
    /// Library and version in messages.
    #[must_use]
    pub fn title(&self) -> String {
        let version = match (self.library, self.version.as_str()) {
            (Library::OpenSsl1, "") => "1.1.1",
            (Library::OpenSsl3, "") => "3",
            (_, version) => version,
        };
        format!("{} {version}", self.library.name()).trim_end().to_owned()
    }

    /// How it was found, in words.
    #[must_use]
    pub fn found_by(&self) -> &'static str {
        match self.shape {
            Shape::LogSecret | Shape::NssKeylog => "by the labels of its key log",
            Shape::GoKeyLog => "by Go's table of functions",
            Shape::AesKey => "by the AES key schedule of ring or AWS-LC",
        }
    }
}

/// A TLS library by the function that it logs secrets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// 1.1.1.
    OpenSsl1,
    /// 3.0 and later, 4.0 included.
    OpenSsl3,
    /// BoringSSL and what was made of it, such as AWS-LC.
    BoringSsl,
    GnuTls,
    /// `crypto/tls`.
    Go,
    /// With ring or AWS-LC in the same file.
    Rustls,
    /// Without a name in the file; two labels lead to the same function.
    Unnamed,
}

impl Library {
    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSsl1 | Self::OpenSsl3 => "OpenSSL",
            Self::BoringSsl => "BoringSSL",
            Self::GnuTls => "GnuTLS",
            Self::Go => "Go crypto/tls",
            Self::Rustls => "rustls",
            Self::Unnamed => "a TLS library without a name",
        }
    }
}

/// What a uprobe program finds in the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `ssl_log_secret(SSL *, label, secret, len)` of OpenSSL. BoringSSL's last argument is a span, whose two words go
    /// into the same two registers; GnuTLS has the same four arguments.
    LogSecret,
    /// `nss_keylog_int(label, SSL *, client random, 32, secret, len)` of OpenSSL, where `ssl_log_secret` jumps to it.
    NssKeylog,
    /// `(*Config).writeKeyLog(label string, clientRandom, secret []byte)` of Go, in the register ABI of Go 1.17.
    GoKeyLog,
    /// `aes_hw_set_encrypt_key(key, bits, schedule)` of ring and AWS-LC.
    AesKey,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LogSecret, Self::NssKeylog, Self::GoKeyLog, Self::AesKey];
}

/// Why a file has no site that is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// Not a whole ELF file of a 64-bit little-endian machine.
    Malformed,
    /// Of another machine than x86-64: its number in the ELF header.
    Architecture(u16),
    /// No TLS library: neither the labels of one nor Go's function.
    NoLibrary,
    /// Go's function is there, but not as the register ABI of Go 1.17 and later has it.
    OldGo,
    /// The labels are there, but no call takes one as the key-log function does.
    NoCall,
    /// It names secrets as rustls does, but there is no function in it that is known to take their AES keys.
    NoKeySchedule,
    /// Several functions may be the one.
    Several,
    /// The function does not read as the beginning of one.
    NoFunction,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not a whole 64-bit ELF file"),
            Self::Architecture(machine) => write!(f, "of another machine than x86-64 (ELF machine {machine})"),
            Self::NoLibrary => f.write_str("no TLS library in it whose secrets can be seen"),
            Self::OldGo => f.write_str("built by Go 1.16 or older, which passes arguments on the stack"),
            Self::NoCall => f.write_str("no call that passes a key-log label"),
            Self::NoKeySchedule => f.write_str("rustls, it seems, but without an AES key schedule that is known"),
            Self::Several => f.write_str("several functions could be the one to probe"),
            Self::NoFunction => f.write_str("the function to probe does not read as one"),
        }
    }
}

impl std::error::Error for NotFound {}
