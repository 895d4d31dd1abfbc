//! Items of an owned type under a function: every way to settle conflicts, and single queries from another thread.

use covertree::build::Conflict;
use covertree::space::{ItemSpace, Space};
use covertree::{BuildConfig, Index, NONE, Searcher, Tier};

/// The letters in which two words differ, and the difference of their lengths.
fn differ(a: &str, b: &str) -> f64 {
    (a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())) as f64
}

/// A searcher of any space may move to another thread.
fn elsewhere<'a, S: Space, R: Send>(
    mut searcher: Searcher<'a, S>,
    ask: impl FnOnce(&mut Searcher<'a, S>) -> R + Send,
) -> R {
    std::thread::scope(|scope| scope.spawn(move || ask(&mut searcher)).join().unwrap())
}

#[test]
fn words_have_exact_neighbours_however_the_tree_is_built() {
    const K: usize = 6;
    let words: Vec<String> = (0..500u32).map(|i| format!("{:b}", i * i * 31 % 997)).collect();
    for &conflict in Conflict::ALL {
        let space = ItemSpace::new(words.clone(), |a: &String, b: &String| differ(a, b)).unwrap();
        let config = BuildConfig { conflict, ..BuildConfig::default() };
        let index = Index::build(space, &config, Tier::detect()).unwrap();
        let (answers, _) = index.knn(50, K, |query| index.space().member(query * 10), |_| NONE).unwrap();
        for query in 0..50 {
            let own = &words[query * 10];
            let mut all: Vec<(f64, i32)> = words.iter().zip(0..).map(|(word, id)| (differ(own, word), id)).collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            let (distances, ids): (Vec<f64>, Vec<i32>) = all[..K].iter().copied().unzip();
            assert_eq!(answers.row(query), (&ids[..], &distances[..]), "{conflict}: word {query}");
        }
        let one = elsewhere(index.searcher(), |searcher| {
            let (mut distances, mut ids) = ([0.0; K], [NONE; K]);
            searcher.knn(index.space().member(70), NONE, &mut distances, &mut ids).unwrap();
            searcher.check().unwrap();
            (ids, distances)
        });
        assert_eq!((&one.0[..], &one.1[..]), answers.row(7), "{conflict}");
    }
}
