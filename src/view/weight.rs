//! Exact weights: every ready endpoint has the same share, whether a viewer reaches it directly or through gateways.

use std::num::NonZeroU32;

/// The least number that every one of these divides; what one endpoint counts as, so that each group splits over its
/// gateways without a rest. One where there is nothing to split.
///
/// Where that would be larger than any use, the last ones that don't divide it are split with a rest, of less than one part in
/// a million: members may have any numbers of gateways.
pub(super) fn scale(ways: impl IntoIterator<Item = usize>) -> u128 {
    let common = |scale: u128, ways: u128| {
        let multiple = scale / gcd(scale, ways) * ways;
        if multiple > LARGEST { scale } else { multiple }
    };
    ways.into_iter().map(|ways| ways.max(1) as u128).fold(1, common)
}

/// Far above what real meshes need, and far below where products with numbers of endpoints overflow.
const LARGEST: u128 = 1 << 48;

/// Makes weights as small as they can be while a weight of one still means at most one endpoint, and fits them into what
/// Envoy takes: at least one each, and a sum that 32 bits hold. Only beyond that sum is anything rounded.
pub(super) fn normalize(weights: &[u128], scale: u128) -> Vec<NonZeroU32> {
    let mut common = scale.max(1);
    for weight in weights {
        // Mostly nothing is split, and nothing is to be divided.
        if common == 1 {
            break;
        }
        common = gcd(common, *weight);
    }
    let limit = u128::from(u32::MAX);
    let reduce = |weight: u128, common| if common == 1 { weight } else { weight / common };
    let sum_of = |common| weights.iter().map(|weight| reduce(*weight, common)).sum::<u128>();
    let mut sum = sum_of(common);
    if sum > limit {
        // Rather less than an endpoint each than anything rounded.
        common = weights.iter().copied().fold(0, gcd).max(1);
        sum = sum_of(common);
    }
    let reduced = |weight| reduce(weight, common);
    let fitted = |weight: u128| match sum > limit {
        false => reduced(weight),
        // Half of the range leaves room for those that are raised to one.
        true => match reduced(weight).checked_mul(limit / 2) {
            Some(product) => product / sum,
            None => reduced(weight) / (sum / (limit / 2) + 1),
        },
    };
    let narrow = |weight: u128| {
        u32::try_from(weight)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN)
    };
    weights.iter().map(|weight| narrow(fitted(*weight))).collect()
}

pub(super) fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(weights: &[u128], scale: u128) -> Vec<u32> {
        normalize(weights, scale).into_iter().map(NonZeroU32::get).collect()
    }

    #[test]
    fn a_weight_counts_endpoints_where_nothing_is_split() {
        assert_eq!(scale([]), 1);
        assert_eq!(scale([1, 1]), 1);
        assert_eq!(normalized(&[1, 1, 4], 1), [1, 1, 4]);
        assert_eq!(
            normalized(&[3], 1),
            [3],
            "the weight of a lone gateway still says how much is behind it"
        );
    }

    #[test]
    fn a_split_leaves_no_rest() {
        // One endpoint here; three behind two gateways: 2 : 3 + 3.
        assert_eq!(scale([2]), 2);
        assert_eq!(normalized(&[2, 3, 3], 2), [2, 3, 3]);
        // Two behind two gateways need no scaling after all.
        assert_eq!(normalized(&[2, 2, 2], 2), [1, 1, 1]);
        assert_eq!(scale([2, 3, 4]), 12);
    }

    #[test]
    fn any_numbers_of_gateways_have_a_scale() {
        let most = scale(1..500);
        assert!(most <= LARGEST && most > LARGEST / 500, "{most}");
        for ways in 1..500 {
            assert!(
                most / ways > 1_000_000,
                "{ways} ways have a share each, and hardly a rest"
            );
        }
    }

    #[test]
    fn what_has_a_common_part_is_not_rounded() {
        let large = u128::from(u32::MAX);
        assert_eq!(normalized(&[large * 2, large * 3], 1), [2, 3]);
    }

    #[test]
    fn what_envoy_cannot_hold_is_rounded_and_never_becomes_nothing() {
        let fitted = normalized(&[u128::from(u32::MAX) * 4, 1], 1);
        assert_eq!(fitted[1], 1);
        assert!(u64::from(fitted[0]) + u64::from(fitted[1]) <= u64::from(u32::MAX));
        assert!(fitted[0] > u32::MAX / 3);
    }
}
