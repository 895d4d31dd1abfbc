//! Every vector operation, on every tier of this machine, against plain arithmetic.

use super::*;
use crate::trials;

/// Applies one named operation to three vectors and returns its lanes.
struct Apply<'a, T>(&'a str, &'a [T], &'a [T], &'a [T]);

impl<T: Real> OnLanes for Apply<'_, T> {
    type Out = ([T; 16], u32);
    #[inline(always)]
    fn run<L: Lanes>(self) -> Self::Out {
        let (a, b, c) = (<T::On<L>>::load(self.1), <T::On<L>>::load(self.2), <T::On<L>>::load(self.3));
        let (vector, mask) = match self.0 {
            "add" => (a.add(b), 0),
            "sub" => (a.sub(b), 0),
            "mul" => (a.mul(b), 0),
            "div" => (a.div(b), 0),
            "min" => (a.min(b), 0),
            "max" => (a.max(b), 0),
            "abs" => (a.abs(), 0),
            "sqrt" => (a.abs().sqrt(), 0),
            "round" => (a.round(), 0),
            "exp2_integer" => (a.round().exp2_integer(), 0),
            "pick_le" => (a.pick_le(b, c, a), 0),
            "le" => (a, a.le(b)),
            "lt" => (a, a.lt(b)),
            _ => (a.mul_add(b, c), 0),
        };
        let mut lanes = [T::default(); 16];
        vector.store(&mut lanes);
        (lanes, mask)
    }
}

const A: [f64; 16] = [0.5, -1.25, 2.0, 1e3, -7.5, 0.0, 3.5, -3.5, 2.5, 100.25, -0.75, 9.0, 4.0, -2.0, 1.0, 6.125];
const B: [f64; 16] = [2.0, -1.25, -3.0, 7.0, 0.5, 1.0, 3.5, 8.0, -2.5, 3.0, 0.125, 9.5, 5.0, -2.5, 1.0, -6.0];

fn check<T: Real>(plain: impl Fn(&str, f64, f64, f64) -> f64, relative: f64) {
    let a: [T; 16] = A.map(T::from_f64);
    let b: [T; 16] = B.map(T::from_f64);
    let c: [T; 16] = core::array::from_fn(|l| T::from_f64(l as f64 - 3.0));
    for tier in Tier::all() {
        for op in
            ["add", "sub", "mul", "div", "min", "max", "abs", "sqrt", "round", "exp2_integer", "pick_le", "mul_add"]
        {
            let (got, _) = tier.run(Apply(op, &a, &b, &c));
            for l in 0..T::LANES {
                let want = plain(op, a[l].to_f64(), b[l].to_f64(), c[l].to_f64());
                if op == "exp2_integer" && want.abs() > 1e30 {
                    continue; // 2^1000 is no f32
                }
                let error = (got[l].to_f64() - want).abs();
                assert!(error <= relative * want.abs(), "{tier} {op} lane {l}: {:?} for {want}", got[l]);
            }
        }
        let bits =
            |holds: &dyn Fn(f64, f64) -> bool| (0..T::LANES).map(|l| u32::from(holds(A[l], B[l])) << l).sum::<u32>();
        assert_eq!(tier.run(Apply("le", &a, &b, &c)).1, bits(&|a, b| a <= b), "{tier}");
        assert_eq!(tier.run(Apply("lt", &a, &b, &c)).1, bits(&|a, b| a < b), "{tier}");
        let nan = [T::from_f64(f64::NAN); 16];
        assert_eq!(tier.run(Apply("le", &nan, &b, &c)).1, 0);
        assert_eq!(tier.run(Apply("lt", &nan, &b, &c)).1, 0);
        assert_eq!(
            tier.run(Apply("pick_le", &nan, &b, &c)).0.map(T::to_f64)[..T::LANES].iter().filter(|x| x.is_nan()).count(),
            T::LANES
        );
    }
}

fn plain(op: &str, a: f64, b: f64, c: f64) -> f64 {
    match op {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        "min" => a.min(b),
        "max" => a.max(b),
        "abs" => a.abs(),
        "sqrt" => a.abs().sqrt(),
        "round" => a.round_ties_even(),
        "exp2_integer" => a.round_ties_even().exp2(),
        "pick_le" => {
            if a <= b {
                c
            } else {
                a
            }
        }
        _ => a.mul_add(b, c),
    }
}

#[test]
fn every_operation_of_f32_is_the_plain_one_rounded() {
    check::<f32>(plain, 2.0 * f32::ROUNDOFF);
}

#[test]
fn every_operation_of_f64_is_the_plain_one_rounded() {
    check::<f64>(plain, 2.0 * f64::ROUNDOFF);
}

#[test]
fn a_mask_chooses_lanes() {
    struct Keep<T>(u32, [T; 16], [T; 16]);
    impl<T: Real> OnLanes for Keep<T> {
        type Out = [T; 16];
        #[inline(always)]
        fn run<L: Lanes>(self) -> [T; 16] {
            let mut lanes = [T::default(); 16];
            <T::On<L>>::load(&self.1).keep(self.0, <T::On<L>>::load(&self.2)).store(&mut lanes);
            lanes
        }
    }
    fn check<T: Real>(tier: Tier, mask: u32) {
        let (a, b) = (A.map(T::from_f64), B.map(T::from_f64));
        let got = tier.run(Keep(mask, a, b));
        for l in 0..T::LANES {
            assert_eq!(got[l], if mask >> l & 1 == 1 { a[l] } else { b[l] }, "{tier} {mask:x}");
        }
    }
    for tier in Tier::all() {
        for mask in [0, 0xffff, 0x8001, 0x1234, 0xedcb, 0xffff_5a5a] {
            check::<f32>(tier, mask);
            check::<f64>(tier, mask);
        }
    }
}

#[test]
fn lanes_move_up_behind_the_last_one_of_another_vector() {
    struct Behind<T>([T; 16], [T; 16]);
    impl<T: Real> OnLanes for Behind<T> {
        type Out = [T; 16];
        #[inline(always)]
        fn run<L: Lanes>(self) -> [T; 16] {
            let mut lanes = [T::default(); 16];
            <T::On<L>>::load(&self.0).behind(<T::On<L>>::load(&self.1)).store(&mut lanes);
            lanes
        }
    }
    fn check<T: Real>(tier: Tier) {
        let (a, b) = (A.map(T::from_f64), B.map(T::from_f64));
        let got = tier.run(Behind(a, b));
        assert_eq!((got[0], &got[1..T::LANES]), (b[T::LANES - 1], &a[..T::LANES - 1]), "{tier}");
    }
    for tier in Tier::all() {
        check::<f32>(tier);
        check::<f64>(tier);
    }
}

#[test]
fn widening_is_exact_and_keeps_the_order_of_lanes() {
    struct Widen([f32; 16]);
    impl OnLanes for Widen {
        type Out = [f64; 16];
        #[inline(always)]
        fn run<L: Lanes>(self) -> [f64; 16] {
            let (low, high) = L::widen(<f32 as Real>::On::<L>::load(&self.0));
            let mut lanes = [0.0; 16];
            low.store(&mut lanes);
            high.store(&mut lanes[8..]);
            assert_eq!([2.0, 0.0, 1e-310, 1e300].map(L::sqrt), [2.0, 0.0, 1e-310, 1e300].map(libm::sqrt));
            L::prefetch(&lanes, 3);
            L::prefetch(&lanes, 99);
            lanes
        }
    }
    let from: [f32; 16] = core::array::from_fn(|l| 0.1 * l as f32 - 0.3);
    for tier in Tier::all() {
        assert_eq!(tier.run(Widen(from)), from.map(f64::from), "{tier}");
    }
}

#[test]
fn places_of_set_bits_are_written_in_order() {
    struct Places(u32, [i32; 17]);
    impl OnLanes for Places {
        type Out = [i32; 17];
        #[inline(always)]
        fn run<L: Lanes>(mut self) -> [i32; 17] {
            L::store_places(self.0, 100, &mut self.1);
            self.1
        }
    }
    for tier in Tier::all() {
        for mask in trials::thin(501, (0..=0xffff).step_by(7)).chain([0xffff, 0xff, 0xff00, 0x8000]) {
            let got = tier.run(Places(mask, [-7; 17]));
            let want: std::vec::Vec<i32> = (0..16).filter(|l| mask >> l & 1 == 1).map(|l| 100 + l).collect();
            assert_eq!(got[..want.len()], want, "{tier} {mask:x}");
            assert_eq!(got[16], -7, "{tier} wrote more than sixteen places");
        }
    }
}

#[test]
fn a_tier_is_found_by_its_name_or_refused() {
    for tier in Tier::all() {
        assert_eq!(tier.name().parse(), Ok(tier));
        assert!(tier.tile_rows() >= 1);
    }
    assert_eq!("mmx".parse::<Tier>(), Err(TierUnavailable));
    assert_eq!(Tier::all().last(), Some(Tier::detect()));
    assert!(std::format!("{TierUnavailable}").starts_with("this machine offers portable"));
}

#[test]
#[should_panic(expected = "range end index")]
fn a_short_slice_is_refused_before_memory_is_read() {
    Tier::detect().run(Apply("add", &[1.0_f64; 8], &[1.0; 7], &[1.0; 8]));
}

#[test]
fn rows_and_columns_of_a_square_are_exchanged() {
    struct Transpose<T>([T; 256]);
    impl<T: Real> OnLanes for Transpose<T> {
        type Out = [T; 256];
        #[inline(always)]
        fn run<L: Lanes>(mut self) -> [T; 256] {
            let mut square = [<T::On<L>>::splat(T::from_f64(-1.0)); 17];
            for row in 0..T::LANES {
                square[row] = <T::On<L>>::load(&self.0[row * T::LANES..]);
            }
            <T::On<L>>::transpose(&mut square);
            for row in 0..T::LANES {
                square[row].store(&mut self.0[row * T::LANES..]);
            }
            let mut beyond = [T::default(); 16];
            square[T::LANES].store(&mut beyond);
            assert!(beyond[..T::LANES].iter().all(|lane| lane.to_f64() == -1.0));
            self.0
        }
    }
    fn check<T: Real>(tier: Tier) {
        let got = tier.run(Transpose(core::array::from_fn(|place| T::from_f64(place as f64))));
        for place in 0..T::LANES * T::LANES {
            let (row, column) = (place / T::LANES, place % T::LANES);
            assert_eq!(got[place].to_f64(), (column * T::LANES + row) as f64, "{tier} {row} {column}");
        }
    }
    for tier in Tier::all() {
        check::<f32>(tier);
        check::<f64>(tier);
    }
}
