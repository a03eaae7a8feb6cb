//! AES-GCM (NIST SP 800-38D) taken apart: what nonce or additional data a tag was made with, and the first bytes of
//! many messages at once.

use std::ops::Range;

use aes::Aes128;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, consts::U16};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

pub(super) const TAG: usize = 16;
/// Bytes of a message that a trial sees.
pub(super) const HEAD: usize = 16;
/// Blocks that are encrypted at once: a multiple of what the processor does in parallel.
const BLOCKS: usize = 32;
/// The neutral element of the field's multiplication.
const ONE: Tag = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(super) type Nonce = [u8; 12];
pub(super) type Tag = [u8; TAG];
type AesBlock = aes::cipher::Block<Aes128>;

pub(super) struct Gcm<C> {
    aes: C,
    ghash: GHash,
}

impl<C> Gcm<C>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
{
    pub(super) fn new(aes: C) -> Self {
        let mut h = AesBlock::default();
        aes.encrypt_block(&mut h);
        let ghash = GHash::new(&h);
        h.fill(0);
        Self { aes, ghash }
    }

    pub(super) fn tag(&self, nonce: &Nonce, aad: &[u8], sealed: &[u8]) -> Tag {
        let mut block = counter(nonce, 1);
        self.aes.encrypt_block(&mut block);
        let hashed: Tag = hash(self.ghash.clone(), aad, sealed, bits);
        xor(block.into(), hashed)
    }

    /// Tag ⊕ GHASH is the first counter block, encrypted. That its counter reads 1 proves 32 bits.
    pub(super) fn nonce_of(&self, aad: &[u8], sealed: &[u8], tag: &Tag) -> Option<Nonce> {
        let hashed: Tag = hash(self.ghash.clone(), aad, sealed, bits);
        self.nonce_in(xor(*tag, hashed), 1)
    }

    /// Text ⊕ ciphertext of the first block is the second counter block, encrypted. That its counter reads 2 proves 32
    /// bits.
    pub(super) fn nonce_by(&self, text: &[u8; HEAD], sealed: &[u8; HEAD]) -> Option<Nonce> {
        self.nonce_in(xor(*text, *sealed), 2)
    }

    /// The nonce in a counter block that was encrypted, if the counter in it is this one.
    fn nonce_in(&self, encrypted: Tag, counter: u32) -> Option<Nonce> {
        let mut block = AesBlock::from(encrypted);
        self.aes.decrypt_block(&mut block);
        let (nonce, last) = block.split_first_chunk()?;
        (last == counter.to_be_bytes()).then_some(*nonce)
    }

    /// The nonce that makes this tag, where the additional data are one block that begins with a number, which is 0 in
    /// `aad` and one of `numbers` in truth, and the nonce ends with `explicit`: that number, too.
    pub(super) fn numbered_nonce_of(
        &self,
        aad: &[u8],
        sealed: &[u8],
        tag: &Tag,
        explicit: &[u8; 8],
        mut numbers: Range<u64>,
    ) -> Option<(u64, Nonce)> {
        let hashed: Tag = xor(*tag, hash(self.ghash.clone(), aad, sealed, bits));
        let power = GHash::new(&self.power_of_first(sealed.len()).into());
        numbers.find_map(|number| {
            let mut block = ghash::Block::default();
            block[..8].copy_from_slice(&number.to_be_bytes());
            let mut product = power.clone();
            product.update(&[block]);
            let nonce = self.nonce_in(xor(hashed, product.finalize().into()), 1)?;
            nonce.ends_with(explicit).then_some((number, nonce))
        })
    }

    /// The power of H by which GHASH multiplies the first of one block of additional data and so many sealed bytes.
    fn power_of_first(&self, sealed: usize) -> Tag {
        let mut power = self.ghash.clone();
        power.update(&[ONE.into()]);
        for _ in 0..=sealed.div_ceil(TAG) {
            power.update(&[ghash::Block::default()]);
        }
        power.finalize().into()
    }

    /// Tag ⊕ the first counter block, encrypted, is GHASH. In it the additional data stand alone, times a power of H.
    /// What remains of them when the rest is taken off and the power divided out is the one block that fits.
    pub(super) fn additional_of(&self, nonce: &Nonce, len: u64, sealed: &[u8], tag: &Tag) -> Tag {
        let mut first = counter(nonce, 1);
        self.aes.encrypt_block(&mut first);
        let nothing = &[0; TAG][..usize::try_from(len).unwrap_or(TAG).min(TAG)];
        let rest = hash(self.ghash.clone(), nothing, sealed, bits);
        let product = xor(xor(first.into(), *tag), rest);
        multiplied(product, inverse(self.power_of_first(sealed.len())))
    }

    pub(super) fn apply(&self, nonce: &Nonce, text: &mut [u8]) {
        self.apply_from(nonce, 0, text);
    }

    /// Applies the keystream from this block on.
    pub(super) fn apply_from(&self, nonce: &Nonce, block: usize, text: &mut [u8]) {
        let start = u32::try_from(block).unwrap_or(u32::MAX).wrapping_add(2);
        // A record has less than 2^11 blocks, and what is longer is none.
        for (number, part) in (0..u32::MAX).zip(text.chunks_mut(BLOCKS * HEAD)) {
            let first = number.wrapping_mul(BLOCKS as u32).wrapping_add(start);
            let mut stream: [AesBlock; BLOCKS] =
                std::array::from_fn(|block| counter(nonce, first.wrapping_add(block as u32)));
            self.aes.encrypt_blocks(&mut stream[..part.len().div_ceil(HEAD)]);
            part.iter_mut().zip(stream.iter().flatten()).for_each(|(byte, key)| *byte ^= key);
        }
    }

    pub(super) fn heads(&self, nonces: impl Iterator<Item = Nonce>) -> Vec<[u8; HEAD]> {
        let mut heads: Vec<[u8; HEAD]> = nonces.map(|nonce| counter(&nonce, 2).into()).collect();
        self.aes.encrypt_blocks(AesBlock::cast_slice_from_core_mut(&mut heads));
        heads
    }
}

fn counter(nonce: &Nonce, number: u32) -> AesBlock {
    let mut block = AesBlock::default();
    block[..nonce.len()].copy_from_slice(nonce);
    block[nonce.len()..].copy_from_slice(&number.to_be_bytes());
    block
}

fn xor(one: Tag, other: Tag) -> Tag {
    std::array::from_fn(|at| one[at] ^ other[at])
}

/// The product of two elements of GCM's field.
fn multiplied(one: Tag, other: Tag) -> Tag {
    let mut product = GHash::new(&one.into());
    product.update(&[other.into()]);
    product.finalize().into()
}

/// By Fermat: the power 2^128 - 2.
fn inverse(element: Tag) -> Tag {
    let (mut square, mut product) = (element, ONE);
    for _ in 1..128 {
        square = multiplied(square, square);
        product = multiplied(product, square);
    }
    product
}

fn bits(bytes: u64) -> [u8; 8] {
    (bytes * 8).to_be_bytes()
}

/// The hash over additional data and ciphertext, each padded, and over their lengths as `encoded`.
pub(super) fn hash<H>(mut hash: H, aad: &[u8], sealed: &[u8], encoded: fn(u64) -> [u8; 8]) -> Tag
where
    H: UniversalHash<BlockSize = U16>,
{
    hash.update_padded(aad);
    hash.update_padded(sealed);
    let lens = [encoded(aad.len() as u64), encoded(sealed.len() as u64)];
    let mut block = ghash::Block::default();
    block.copy_from_slice(lens.as_flattened());
    hash.update(&[block]);
    hash.finalize().into()
}
