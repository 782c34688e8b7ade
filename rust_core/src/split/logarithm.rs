//! A logarithm that is quick and knows how wrong it can be.

/// Cells of a mantissa.
const CELLS: usize = 128;
const INDEX_BITS: u32 = CELLS.trailing_zeros();
const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: i64 = 1023;

/// [`rough`] is off by at most half a cell, where the logarithm is steepest, and some rounding.
#[allow(clippy::cast_precision_loss)] // a small power of two
pub(super) const ROUGH_ERROR: f64 = 0.5 / (CELLS as f64) + 1e-9;

/// Logarithm at the middle of each cell of [1, 2).
static MIDDLES: [f64; CELLS] = middles();

/// Natural logarithm of a normal number above 0, off by at most [`ROUGH_ERROR`].
#[inline]
pub(super) fn rough(value: f64) -> f64 {
    let bits = value.to_bits();
    #[allow(clippy::cast_possible_truncation)] // the mask leaves seven bits
    let cell = (bits >> (MANTISSA_BITS - INDEX_BITS)) as usize & (CELLS - 1);
    #[allow(clippy::cast_possible_wrap, clippy::cast_precision_loss)] // at most 2047
    let exponent = ((bits >> MANTISSA_BITS) as i64 - EXPONENT_BIAS) as f64;
    // The mask keeps the index inside.
    exponent * std::f64::consts::LN_2 + MIDDLES.get(cell).copied().unwrap_or_default()
}

const fn middles() -> [f64; CELLS] {
    let mut found = [0.0; CELLS];
    let mut cell = 0;
    while cell < CELLS {
        #[allow(clippy::cast_precision_loss, clippy::indexing_slicing)] // below CELLS
        {
            found[cell] = ln_of_mantissa(1.0 + (cell as f64 + 0.5) / CELLS as f64);
        }
        cell += 1;
    }
    found
}

/// Logarithm of a number from 1 to 2, by the series of the inverse hyperbolic tangent.
const fn ln_of_mantissa(mantissa: f64) -> f64 {
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum, mut odd) = (ratio, 0.0, 1.0);
    // The ratio is at most a third, so that what is left after 20 terms is below 1e-19.
    while odd < 40.0 {
        sum += power / odd;
        power *= ratio * ratio;
        odd += 2.0;
    }
    2.0 * sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_as_wrong_as_it_says_and_no_more(value in prop_oneof![0.0..=1.0, 0.99..=1.0, 0.0..1e-15]) {
            prop_assume!(value > 0.0);
            prop_assert!((rough(value) - libm::log(value)).abs() <= ROUGH_ERROR);
        }
    }

    #[test]
    fn edges_of_cells_are_within_the_bound() {
        for cell in 0..u8::try_from(CELLS).unwrap() {
            let edge = 1.0 + f64::from(cell) / 128.0;
            for value in [edge, edge.next_down(), edge.next_up()] {
                assert!((rough(value) - libm::log(value)).abs() <= ROUGH_ERROR, "{value}");
            }
        }
    }
}
