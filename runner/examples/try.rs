//! try
use covertree::space::*;
use covertree::*;
use covertree_kernels::{arena::*, hash::mix64, simd::Tier, tree::knn};
use std::time::Instant;
fn gauss(n: usize, d: usize, uniform: bool) -> Vec<f32> {
    let u = |i: u64| (mix64(i + 12345) >> 11) as f64 / (1u64 << 53) as f64;
    (0..n * d)
        .map(|i| {
            if uniform {
                u(i as u64) as f32
            } else {
                ((-2.0 * (1.0 - u(2 * i as u64)).ln()).sqrt() * (6.283185307 * u(2 * i as u64 + 1)).cos()) as f32
            }
        })
        .collect()
}
fn cpu() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat").unwrap().split(' ').next().unwrap().parse::<f64>().unwrap()
        * 1e-9
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (n, d, k): (usize, usize, usize) = (a[1].parse().unwrap(), a[2].parse().unwrap(), a[3].parse().unwrap());
    let data = gauss(n, d, a.len() > 4);
    let q = gauss(n + 10000, d, a.len() > 4)[n * d..].to_vec();
    let space: RowSpace<Euclidean<f32>> = RowSpace::new(data.clone(), d);
    for _ in 0..3 {
        let t = Instant::now();
        let tree = try_build(&space, &BuildConfig::default());
        println!("build {:?}", t.elapsed());
        let packed = space.pack(&tree, Tier::detect());
        let kernel = space.kernel(&packed);
        let mut mem = vec![Block::default(); covertree_kernels::tree::search_blocks(tree.parts().waiting)];
        let (mut dist, mut ids) = (vec![0.0; k], vec![0; k]);
        let mut c = covertree_kernels::tree::SearchCounters::default();
        for check in [true, false] {
            let t = cpu();
            let mut sum = 0.0;
            c = Default::default();
            let nq = q.len() / d;
            let view = tree.view();
            for qi in 0..nq {
                let (_, cc) = knn(
                    Tier::detect(),
                    view,
                    &kernel,
                    &q[qi * d..qi * d + d],
                    -1,
                    &mut dist,
                    &mut ids,
                    &mut Arena::new(&mut mem),
                )
                .unwrap();
                c.merge(&cc);
                sum += dist[k - 1];
                if qi < 20 && check {
                    let mut b: Vec<(f64, i32)> = (0..n)
                        .map(|i| {
                            (
                                (0..d)
                                    .map(|j| {
                                        let x = q[qi * d + j] as f64 - data[i * d + j] as f64;
                                        x * x
                                    })
                                    .fold(0.0, |a, b| a + b)
                                    .sqrt(),
                                i as i32,
                            )
                        })
                        .collect();
                    b.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
                    for j in 0..k {
                        assert_eq!((dist[j], ids[j]), b[j]);
                    }
                }
            }
            println!(
                "query {:.2} us  evals {:.0} groups {:.0} runs {:.0} settled {:.0} pruned {:.0} {sum}",
                (cpu() - t) * 1e6 / nq as f64,
                c.distance_evals as f64 / nq as f64,
                c.groups as f64 / nq as f64,
                c.runs as f64 / nq as f64,
                c.settled as f64 / nq as f64,
                c.pruned as f64 / nq as f64
            );
        }
    }
}
