//! Content versions.

use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

/// A hash of the values that a resource is made of. Never of encoded bytes: Envoy's messages have maps, and equal maps
/// encode in different orders, so that bytes would differ between replicas and from one build to the next.
///
/// Two halves, the high one first, because whatever holds a whole is aligned to 16 bytes and each stream holds thousands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u64; 2]);

impl Version {
    /// How long the text of a version is.
    pub const TEXT_BYTES: usize = 32;

    /// Hashes values; equal values give equal versions in every process of one release on 64-bit machines.
    pub fn of(values: &impl Hash) -> Self {
        let mut hasher = Wide(Xxh3::new());
        values.hash(&mut hasher);
        Self::from_bits(hasher.0.digest128())
    }

    fn from_bits(bits: u128) -> Self {
        Self([(bits >> 64) as u64, bits as u64])
    }

    fn bits(self) -> u128 {
        let [high, low] = self.0;
        u128::from(high) << 64 | u128::from(low)
    }

    /// The version as it is on the wire, as [`fmt::Display`] writes it.
    #[must_use]
    pub fn text(self) -> [u8; Self::TEXT_BYTES] {
        let digit = |at: usize| b"0123456789abcdef"[usize::from((self.bits() >> (124 - 4 * at)) as u8 & 0xf)];
        std::array::from_fn(digit)
    }

    /// The version of a set of resources, given in order.
    #[must_use]
    pub fn of_set(members: impl IntoIterator<Item = Self>) -> Self {
        let mut hasher = Wide(Xxh3::new());
        for member in members {
            hasher.write(&member.bits().to_le_bytes());
        }
        Self::from_bits(hasher.0.digest128())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.bits())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Feeds the 128-bit hash through the standard trait, whose own result has only 64 bits.
struct Wide(Xxh3);

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_are_the_same() {
        for version in [
            Version::from_bits(0),
            Version::from_bits(u128::MAX),
            Version::of(&"a"),
            Version::from_bits(0xabc),
        ] {
            assert_eq!(std::str::from_utf8(&version.text()).unwrap(), version.to_string());
        }
    }
}
