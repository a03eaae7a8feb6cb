//! Cipher suites by their number on the wire (<https://www.iana.org/assignments/tls-parameters#tls-parameters-4>).

/// A cipher suite whose records can be opened: which key exchange and which signature came before makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    pub(super) tls13: bool,
    pub(super) cipher: Cipher,
    /// Of the key schedule.
    pub(super) hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
    Aes128Cbc(Mac),
    Aes256Cbc(Mac),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

/// The hash in the HMAC of a CBC suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mac {
    Sha1,
    Sha256,
    Sha384,
}

const TLS13: [Suite; 3] = [
    tls13(Cipher::Aes128Gcm, Hash::Sha256),
    tls13(Cipher::Aes256Gcm, Hash::Sha384),
    tls13(Cipher::ChaCha20Poly1305, Hash::Sha256),
];

const TLS12: [Suite; 8] = [
    tls12(Cipher::Aes128Gcm, Hash::Sha256),
    tls12(Cipher::Aes256Gcm, Hash::Sha384),
    tls12(Cipher::ChaCha20Poly1305, Hash::Sha256),
    tls12(Cipher::Aes128Cbc(Mac::Sha1), Hash::Sha256),
    tls12(Cipher::Aes256Cbc(Mac::Sha1), Hash::Sha256),
    tls12(Cipher::Aes128Cbc(Mac::Sha256), Hash::Sha256),
    tls12(Cipher::Aes256Cbc(Mac::Sha256), Hash::Sha256),
    tls12(Cipher::Aes256Cbc(Mac::Sha384), Hash::Sha384),
];

const fn tls13(cipher: Cipher, hash: Hash) -> Suite {
    Suite { tls13: true, cipher, hash }
}

const fn tls12(cipher: Cipher, hash: Hash) -> Suite {
    Suite { tls13: false, cipher, hash }
}

impl Suite {
    /// The suite of this number in a ServerHello of TLS 1.2 or 1.3; `None`: its records can't be opened.
    #[must_use]
    pub const fn from_wire(number: u16) -> Option<Self> {
        Some(match number {
            0x1301 => TLS13[0],
            0x1302 => TLS13[1],
            0x1303 => TLS13[2],
            // With RSA, DHE_RSA, ECDHE_ECDSA and ECDHE_RSA.
            0x009c | 0x009e | 0xc02b | 0xc02f => TLS12[0],
            0x009d | 0x009f | 0xc02c | 0xc030 => TLS12[1],
            0xcca8..=0xccaa => TLS12[2],
            0x002f | 0x0033 | 0xc009 | 0xc013 => TLS12[3],
            0x0035 | 0x0039 | 0xc00a | 0xc014 => TLS12[4],
            0x003c | 0x0067 | 0xc023 | 0xc027 => TLS12[5],
            0x003d | 0x006b => TLS12[6],
            0xc024 | 0xc028 => TLS12[7],
            _ => return None,
        })
    }

    /// Every suite of TLS 1.3, or of TLS 1.2.
    pub(super) const fn all(tls13: bool) -> &'static [Self] {
        if tls13 { &TLS13 } else { &TLS12 }
    }
}

impl Cipher {
    /// Bytes of a key.
    pub(super) const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Cbc(_) => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 | Self::Aes256Cbc(_) => 32,
        }
    }

    /// Bytes of the HMAC's key; AEADs have none.
    pub(super) const fn mac_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm | Self::ChaCha20Poly1305 => 0,
            Self::Aes128Cbc(mac) | Self::Aes256Cbc(mac) => mac.len(),
        }
    }

    /// Bytes of the nonce that the key block of TLS 1.2 has.
    pub(super) const fn iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 4,
            Self::ChaCha20Poly1305 => 12,
            Self::Aes128Cbc(_) | Self::Aes256Cbc(_) => 0,
        }
    }
}

impl Hash {
    /// Bytes of its output, and of a secret of TLS 1.3.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

impl Mac {
    /// Bytes of its output, and of its key.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}
