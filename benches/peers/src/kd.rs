//! Rust crates with kd-trees: kiddo and nabo. They know coordinates and their dimension at compile time.

use std::num::NonZero;

use super::method::{Built, Method, Searcher};

macro_rules! kd_trees {
    ($module:ident, $real:ty) => {
        /// The trees of one precision.
        pub mod $module {
            use super::*;
            use kiddo::{ImmutableKdTree, SquaredEuclidean};
            use nabo::NotNan;

            /// kiddo, one query at a time.
            pub const fn kiddo<const D: usize>() -> Method<$real> {
                Method { name: "kiddo", build: |rows, _| Box::new(Kiddo::<D>::new(rows)) }
            }

            /// kiddo, all queries in one call.
            pub const fn kiddo_batch<const D: usize>() -> Method<$real> {
                Method { name: "kiddo batch", build: |rows, _| Box::new(KiddoBatch(Kiddo::<D>::new(rows))) }
            }

            /// nabo.
            pub const fn nabo<const D: usize>() -> Method<$real> {
                Method { name: "nabo", build: |rows, _| Box::new(Nabo::<D>::new(rows)) }
            }

            struct Kiddo<const D: usize>(ImmutableKdTree<$real, D>);

            impl<const D: usize> Kiddo<D> {
                fn new(rows: &[$real]) -> Self {
                    let (rows, _) = rows.as_chunks::<D>();
                    Self(ImmutableKdTree::new_from_slice(rows).expect("the points are finite"))
                }
            }

            impl<const D: usize> Built<$real> for Kiddo<D> {
                fn searcher(&self) -> Option<Box<dyn Searcher<$real> + '_>> {
                    Some(Box::new(self))
                }
            }

            impl<const D: usize> Searcher<$real> for &Kiddo<D> {
                fn knn(&mut self, query: &[$real], k: usize, ids: &mut Vec<i32>) {
                    let query: &[$real; D] = query.try_into().expect("a query has D coordinates");
                    let k = NonZero::new(k).expect("k is positive");
                    let found = self.0.query(query).nearest_n::<SquaredEuclidean<$real>>(k).execute();
                    ids.extend(found.iter().map(|neighbour| neighbour.item as i32));
                }
            }

            struct KiddoBatch<const D: usize>(Kiddo<D>);

            impl<const D: usize> Built<$real> for KiddoBatch<D> {
                fn batch(&self, queries: &[$real], k: usize) -> Option<Vec<i32>> {
                    let (queries, _) = queries.as_chunks::<D>();
                    let k = NonZero::new(k).expect("k is positive");
                    let found = self.0.0.query_batch(queries).nearest_n::<SquaredEuclidean<$real>>(k).execute();
                    Some(
                        (0..queries.len()).flat_map(|query| found[query].iter().map(|near| near.item as i32)).collect(),
                    )
                }
            }

            #[derive(Clone, Copy)]
            struct Row<const D: usize>([NotNan<$real>; D]);

            impl<const D: usize> Default for Row<D> {
                fn default() -> Self {
                    Self([NotNan::default(); D])
                }
            }

            impl<const D: usize> nabo::Point<$real> for Row<D> {
                const DIM: u32 = D as u32;
                fn set(&mut self, column: u32, value: NotNan<$real>) {
                    self.0[column as usize] = value;
                }
                fn get(&self, column: u32) -> NotNan<$real> {
                    self.0[column as usize]
                }
            }

            impl<const D: usize> Row<D> {
                fn new(row: &[$real]) -> Self {
                    Self(std::array::from_fn(|column| NotNan::new(row[column]).expect("the points are finite")))
                }
            }

            struct Nabo<const D: usize>(nabo::KDTree<$real, Row<D>>);

            impl<const D: usize> Nabo<D> {
                fn new(rows: &[$real]) -> Self {
                    let rows: Vec<Row<D>> = rows.chunks_exact(D).map(Row::new).collect();
                    Self(nabo::KDTree::new(&rows))
                }
            }

            impl<const D: usize> Built<$real> for Nabo<D> {
                fn searcher(&self) -> Option<Box<dyn Searcher<$real> + '_>> {
                    Some(Box::new(self))
                }
            }

            impl<const D: usize> Searcher<$real> for &Nabo<D> {
                fn knn(&mut self, query: &[$real], k: usize, ids: &mut Vec<i32>) {
                    let found = self.0.knn(k as u32, &Row::new(query));
                    ids.extend(found.iter().map(|neighbour| neighbour.index as i32));
                }
            }
        }
    };
}

kd_trees!(single, f32);
kd_trees!(double, f64);
