//! A keyed permutation that hides the order and the number of ids.
//!
//! It is a balanced Feistel network (Luby and Rackoff, 1988) of ten rounds, like NIST's FF1. The round function is SipHash-2-4
//! (Aumasson and Bernstein, 2012), a keyed pseudorandom function for short inputs. The network permutes numbers with an even
//! number of bits. For an odd number, a result with too many bits is permuted again until it fits (cycle walking, Black and
//! Rogaway, 2002), which takes two turns on average. FF1 itself works on digits and on numbers of any size; for two halves of at
//! most 32 bits that is much work for the same security.

use std::{fmt, str::FromStr};

use everywire_core::{Result, RpcError};
use siphasher::sip::SipHasher24;

const ROUNDS: u64 = 10;
const KEY_DIGITS: usize = 32;

/// A key of 128 bits, written as 32 hexadecimal digits: `openssl rand -hex 16`.
///
/// Without the key, other ids and their number can't be guessed from known ones. This is not access control: an id grants no
/// permission.
#[derive(Clone)]
pub struct Secret(SipHasher24);

impl FromStr for Secret {
    type Err = RpcError;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.len() == KEY_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(key) if hex => Ok(Self(SipHasher24::new_with_key(&key.to_be_bytes()))),
            _ => Err(RpcError::invalid_argument(format!("a secret has {KEY_DIGITS} hexadecimal digits"))),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Permutes the numbers of `bits` bits, 1 to 63.
    pub(super) fn hide(&self, id: u64, bits: u32) -> u64 {
        walk(id, bits, |id| {
            let (left, right) = halves(id, bits);
            let (left, right) =
                (0..ROUNDS).fold((left, right), |(left, right), round| (right, left ^ self.round(round, right, bits)));
            left << half(bits) | right
        })
    }

    /// Undoes [`hide`](Self::hide).
    pub(super) fn reveal(&self, id: u64, bits: u32) -> u64 {
        walk(id, bits, |id| {
            let (left, right) = halves(id, bits);
            let (left, right) = (0..ROUNDS)
                .rev()
                .fold((left, right), |(left, right), round| (right ^ self.round(round, left, bits), left));
            left << half(bits) | right
        })
    }

    /// The round function: as many bits as a half has, different in each round and for each width.
    fn round(&self, round: u64, half_id: u64, bits: u32) -> u64 {
        let mut input = [0; 16];
        input[..8].copy_from_slice(&(u64::from(bits) << 8 | round).to_le_bytes());
        input[8..].copy_from_slice(&half_id.to_le_bytes());
        self.0.hash(&input) & low_bits(half(bits))
    }
}

/// Permutes until the number has at most `bits` bits. This terminates, because the first number is on the same cycle.
fn walk(id: u64, bits: u32, permute: impl Fn(u64) -> u64) -> u64 {
    debug_assert!(id <= low_bits(bits), "{id} has more than {bits} bits");
    let mut id = permute(id);
    while id > low_bits(bits) {
        id = permute(id);
    }
    id
}

fn half(bits: u32) -> u32 {
    bits.div_ceil(2)
}

fn halves(id: u64, bits: u32) -> (u64, u64) {
    (id >> half(bits), id & low_bits(half(bits)))
}

fn low_bits(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        text.parse().unwrap()
    }

    fn one() -> Secret {
        secret("000102030405060708090a0b0c0d0e0f")
    }

    #[test]
    fn it_is_a_permutation_of_the_numbers_of_any_width() {
        for bits in 1..=16 {
            let all: HashSet<_> = (0..1 << bits).map(|id| one().hide(id, bits)).collect();
            assert_eq!(all.len(), 1 << bits, "{bits} bits");
            assert!(all.iter().all(|id| *id < 1 << bits), "{bits} bits");
        }
    }

    proptest! {
        #[test]
        fn it_is_undone_with_the_key_and_only_with_it(id in 0..1_u64 << 63, bits in 40..=63_u32) {
            let id = id & low_bits(bits);
            let hidden = one().hide(id, bits);
            prop_assert!(hidden <= low_bits(bits));
            prop_assert_eq!(one().reveal(hidden, bits), id);
            prop_assert_ne!(secret("000102030405060708090a0b0c0d0e0e").reveal(hidden, bits), id);
        }
    }

    /// Each input bit changes about half of the output bits.
    #[test]
    fn one_bit_changes_half_of_them() {
        for bits in [53, 63] {
            for bit in 0..bits {
                let changed: u32 = (0..64_u64)
                    .map(|id| (one().hide(id << 7, bits) ^ one().hide(id << 7 ^ 1 << bit, bits)).count_ones())
                    .sum();
                let share = f64::from(changed) / f64::from(64 * bits);
                assert!((0.45..0.55).contains(&share), "bit {bit} of {bits} changes {share} of them");
            }
        }
    }

    /// Hidden ids can be revealed later only if these values never change.
    #[test]
    fn known_answers() {
        assert_eq!([one().hide(0, 63), one().hide(1, 63), one().hide(1, 53)], KNOWN);
    }

    const KNOWN: [u64; 3] = [7_056_368_631_801_858_529, 755_659_069_541_229_249, 4_633_721_755_909_735];

    #[test]
    fn an_invalid_key_is_rejected() {
        for text in ["", "secret", "000102030405060708090a0b0c0d0e0", "+00102030405060708090a0b0c0d0e0f"] {
            let error = text.parse::<Secret>().unwrap_err();
            assert_eq!(error.message(), "a secret has 32 hexadecimal digits", "{text}");
        }
        assert_eq!(format!("{:?}", one()), "Secret");
    }
}
