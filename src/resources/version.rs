//! Content versions.

use std::fmt;
use std::hash::{Hash, Hasher};

use xxhash_rust::xxh3::Xxh3;

/// Six bits each.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A hash of the values that a resource is made of. Never of encoded bytes: Envoy's messages have maps, and equal maps
/// encode in different orders, so that bytes would differ between replicas and from one build to the next.
///
/// Two halves, the high one first, because whatever holds a whole is aligned to 16 bytes and each stream holds thousands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u64; 2]);

impl Version {
    /// How long the text of a version is: six bits a letter, for it is in every answer twice.
    pub const TEXT_BYTES: usize = 22;

    /// Hashes values; equal values give equal versions in every process of one release on 64-bit machines.
    pub fn of(values: &impl Hash) -> Self {
        let mut hasher = Wide(Xxh3::new());
        // Another release may encode the same values otherwise, and a client that comes back must get that.
        hasher.write(env!("CARGO_PKG_VERSION").as_bytes());
        values.hash(&mut hasher);
        Self::from_bits(hasher.0.digest128())
    }

    /// A version of which whoever is shown its text can tell whether it is of these values, and until when it counts: equal values
    /// and ends give equal versions.
    #[must_use]
    pub fn until(values: &impl Hash, end: u64) -> Self {
        let [half, _] = Self::of(values).0;
        Self([half, end])
    }

    /// Until when it counts, where [`Version::until`] made it of these values.
    #[must_use]
    pub fn end_of(self, values: &impl Hash) -> Option<u64> {
        let [_, end] = self.0;
        (self == Self::until(values, end)).then_some(end)
    }

    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bits = 0_u128;
        for letter in text.bytes() {
            let six = LETTERS.iter().position(|known| *known == letter)?;
            bits = bits << 6 | six as u128;
        }
        Some(Self::from_bits(bits)).filter(|version| version.text() == text.as_bytes())
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
        // The first letter has the two bits that are left over.
        std::array::from_fn(|at| LETTERS[(self.bits() >> (126 - 6 * at) & 0x3f) as usize])
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
        f.pad(std::str::from_utf8(&self.text()).expect("letters"))
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
    use std::collections::BTreeSet;

    #[test]
    fn an_end_is_read_back_by_who_knows_the_values_and_only_a_text_of_ours_is_read() {
        let version = Version::until(&("shop", 1), 1_700_000_000_123);
        let text = version.to_string();
        assert_eq!(Version::parse(&text), Some(version));
        assert_eq!(version.end_of(&("shop", 1)), Some(1_700_000_000_123));
        assert_eq!(version.end_of(&("shop", 2)), None);
        let long = format!("A{text}");
        for wrong in ["", "1", &text[1..], &long, &text.replace(&text[..1], "_"), "ß"] {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn texts_are_equal_exactly_where_versions_are() {
        let some = [
            Version::from_bits(0),
            Version::from_bits(u128::MAX),
            Version::of(&"a"),
            Version::from_bits(0xabc),
        ];
        let single = (0..128).map(|bit| Version::from_bits(1 << bit));
        let all: Vec<Version> = some.into_iter().chain(single).collect();
        let texts: BTreeSet<String> = all.iter().map(Version::to_string).collect();
        assert_eq!(texts.len(), all.len());
        assert!(texts.iter().all(|text| text.len() == Version::TEXT_BYTES));
        assert_eq!(Version::from_bits(0xabc).to_string(), "AAAAAAAAAAAAAAAAAAAAq8");
    }
}
