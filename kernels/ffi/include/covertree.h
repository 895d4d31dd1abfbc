/*
 * Kernels of an exact nearest-neighbour engine, and search over tree files that `covertree build` wrote.
 *
 * No allocator, no threads, no operating system: all memory is the caller's. Every function returns a covertree_status; if
 * it is not COVERTREE_STATUS_OK, nothing was written to the outputs, and *error (which may be null) names the argument and
 * both numbers. The library needs memcpy, memmove, memset, memcmp and bcmp.
 *
 * Generated from kernels/ffi; to make it again: UPDATE_HEADER=1 cargo test --features std --test header
 */

#ifndef COVERTREE_H
#define COVERTREE_H

#include <stddef.h>
#include <stdint.h>
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L || defined(__cplusplus)
#define COVERTREE_ALIGNED(n) alignas(n)
#elif defined(_MSC_VER)
#define COVERTREE_ALIGNED(n) __declspec(align(n))
#else
#define COVERTREE_ALIGNED(n) __attribute__((aligned(n)))
#endif

// The best tier of the machine.
#define COVERTREE_TIER_BEST 0

// The tier that runs everywhere.
#define COVERTREE_TIER_PORTABLE 1

// AVX2 and FMA.
#define COVERTREE_TIER_AVX2 2

// AVX-512 (F, BW, DQ, VL).
#define COVERTREE_TIER_AVX512 3

// The sum of squared differences.
#define COVERTREE_FORM_SQUARED_EUCLIDEAN 0

// The sum of absolute differences.
#define COVERTREE_FORM_MANHATTAN 1

// The largest absolute difference.
#define COVERTREE_FORM_CHEBYSHEV 2

// The dot product.
#define COVERTREE_FORM_DOT 3

// `exp(-r^2 / 2)` of scaled distances.
#define COVERTREE_COVARIANCE_RBF 0

// `exp(-r)`.
#define COVERTREE_COVARIANCE_MATERN12 1

// `(1 + a) exp(-a)`, `a = sqrt(3) r`.
#define COVERTREE_COVARIANCE_MATERN32 2

// `(1 + a + a^2 / 3) exp(-a)`, `a = sqrt(5) r`.
#define COVERTREE_COVARIANCE_MATERN52 3

// Most axes of a projection, and the elements of a row of the matrix that holds them.
#define COVERTREE_AXES 16

// A vertex that is not decided.
#define COVERTREE_MIS_OPEN 0

// A vertex of the independent set.
#define COVERTREE_MIS_IN 1

// A vertex beside one of the set.
#define COVERTREE_MIS_OUT 2

// A vertex that does not take part.
#define COVERTREE_MIS_INACTIVE 3

// Bytes of a name in this interface, the zero at its end included.
#define COVERTREE_NAME_LEN 32

// Words of a `covertree_tree`.
#define COVERTREE_TREE_WORDS 40

// What a call came to.
enum covertree_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  COVERTREE_STATUS_OK = 0,
  // `what` must have `need` elements (or bytes, for a section of a file), not `have`.
  COVERTREE_STATUS_SHAPE = 1,
  // The call needs `need` blocks of scratch; there are `have`.
  COVERTREE_STATUS_SCRATCH = 2,
  // `have` is more than `need`, the most that 32-bit indices (or the address space) can hold.
  COVERTREE_STATUS_TOO_LONG = 3,
  // Element `at` is `have`, which lies outside `0..need`.
  COVERTREE_STATUS_KEY = 4,
  // `what` must be at least `need`, not `have`.
  COVERTREE_STATUS_LEAST = 5,
  // Element `at` of `what` (a byte, for a file) has a value that is not allowed there.
  COVERTREE_STATUS_VALUE = 6,
  // `what` is null, where `need` elements are needed.
  COVERTREE_STATUS_NULL = 7,
  // `what` must be aligned to `need` bytes; its address is `have` bytes beyond such a place.
  COVERTREE_STATUS_MISALIGNED = 8,
  // `what` shares memory with another argument, and one of the two is written to.
  COVERTREE_STATUS_OVERLAP = 9,
  // This machine does not have the tier `have`.
  COVERTREE_STATUS_TIER = 10,
  // `what` cannot be `have`: there is no such choice.
  COVERTREE_STATUS_CHOICE = 11,
  // The handle of the tree was not filled by `covertree_tree_open`.
  COVERTREE_STATUS_NOT_OPEN = 12,
  // The tree has coordinates of another precision, or a metric that this library lacks.
  COVERTREE_STATUS_METRIC = 13,
  // The checksum of the file does not match its contents.
  COVERTREE_STATUS_CHECKSUM = 14,
  // `what` must be at most `need`, not `have`.
  COVERTREE_STATUS_MOST = 15,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum covertree_status covertree_status;
#else
typedef int32_t covertree_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A residual correlation `(K - V.V) / sqrt(p p)`: its covariance and its shape.
typedef struct covertree_residual_model {
  // One of the `COVERTREE_COVARIANCE_` numbers.
  uint32_t kind;
  // The prior variance.
  double variance;
  // Scaled coordinates of a point.
  size_t dim;
  // Columns of `V`; 0 for the prior correlation.
  size_t columns;
} covertree_residual_model;

// What was wrong, with both numbers; see [`covertree_status`] for their meaning. Those without one are 0.
typedef struct covertree_error {
  // The code that was returned.
  covertree_status code;
  // What was needed.
  int64_t need;
  // What was there.
  int64_t have;
  // Where in the argument.
  int64_t at;
  // Name of the argument, zero-terminated.
  char what[COVERTREE_NAME_LEN];
} covertree_error;

// Memory of a cluster in the frame of its landmarks, `most` of them: what `covertree_landmarks_f64` fills.
typedef struct covertree_frame_memory {
  // `[most]`: the members that are landmarks.
  int32_t *landmarks;
  // `[most][most]`: the lower triangular factor.
  double *factor;
  // `[members][most]`: coordinates of every member.
  double *rows;
  // `[members][3]`: span, tail and slack of every member.
  double *extents;
  // `covertree_panels_len_f64(members, most)` elements: the coordinates packed, as many of them as there are landmarks.
  double *coordinates;
  // `covertree_panels_len_f64(members, 1)` elements.
  double *spans;
  // As `spans`.
  double *tails;
  // As `spans`.
  double *slacks;
} covertree_frame_memory;

// Unit of scratch memory: 64 bytes at an address that is a multiple of 64. Its contents mean nothing.
typedef struct COVERTREE_ALIGNED(64) covertree_block {
  // Anything.
  uint32_t words[16];
} covertree_block;

// Rows of packed points, each with its own radius, against a range of columns of the same points.
typedef struct covertree_scope {
  // One of the `COVERTREE_FORM_` numbers, except the dot product.
  uint32_t form;
  // 0: all pairs; 1: only columns above the row, each pair once.
  uint32_t above;
  // Position of the first row; there are as many rows as radii.
  int32_t first;
  // First column.
  int32_t columns;
  // One past the last column.
  int32_t columns_end;
} covertree_scope;

// A tree that is ready to be searched, made by `covertree_tree_open` in memory of the caller. It may be copied, but not
// changed; it is good for as long as the bytes of the file stay where and what they are.
typedef struct covertree_tree {
  // Not for the caller.
  uint64_t opaque[COVERTREE_TREE_WORDS];
} covertree_tree;

// What there is to know about a tree.
typedef struct covertree_tree_info {
  // Number of points.
  int32_t points;
  // Number of groups: elements of what `covertree_earliest` writes.
  int32_t groups;
  // Elements of a query: values of a point, as the metric stores them.
  uint32_t dim;
  // Bytes of a coordinate, 4 or 8; 0 where the file has no points and cannot be searched here.
  uint32_t coordinate_bytes;
  // Coordinates are those of the input over two to this power, and so must those of a query be; distances times it are
  // those of the input. Nearly always 0.
  int32_t scaling;
  // Elements of a row of which `covertree_tree_query_f32` or `_f64` makes a query: `dim`, unless the points have projections ahead of
  // their coordinates.
  uint32_t coordinates;
  // Blocks of scratch that a search takes.
  size_t search_blocks;
  // The metric, zero-terminated: `euclidean`, `manhattan`, `chebyshev`, `angular` or `haversine`.
  char metric[COVERTREE_NAME_LEN];
} covertree_tree_info;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The best tier of this machine: one of the `COVERTREE_TIER_` numbers above 0.
uint32_t covertree_tier_best(void);

// The published residual correlation of two points, to `rho`: `x`, `y` have `dim` scaled coordinates, `v_x`, `v_y` their
// rows of `V`, `p_x`, `p_y` their residual variances.
//
// # Safety
// `x` and `y` point to `model.dim` elements, `v_x` and `v_y` to `model.columns`, `rho` to one.
covertree_status covertree_residual_rho(struct covertree_residual_model model,
                                        const double *x,
                                        const double *v_x,
                                        double p_x,
                                        const double *y,
                                        const double *v_y,
                                        double p_y,
                                        double *rho,
                                        struct covertree_error *error);

// What the tiles need once per set of parameters: `norms` (at least the norms of the rows of `V`), `scales` and `margins`.
//
// `v` is packed with `model.columns` columns, `p` and `norms` have one element per point, `scales` and `margins`
// `covertree_panels_len_f64(points, 1)`. `v` is read twice: once to see that all is well, once to write.
//
// # Safety
// Each pointer points to as many elements as the length after it says; `p` and `norms` to `points`, `scales` and
// `margins` to `scales_len`.
covertree_status covertree_residual_prepare_f64(struct covertree_residual_model model,
                                                const double *v,
                                                size_t v_len,
                                                const double *p,
                                                double *norms,
                                                size_t points,
                                                double *scales,
                                                double *margins,
                                                size_t scales_len,
                                                struct covertree_error *error);

// Filtered correlations of one point, in rows, with packed points, to `out`: within `margin` times the margin of the
// point of the published one. Bit `l` of `masks[b]` is set where `abs(rho) >= least` is possible for point `8 b + l`.
//
// `scale` and `margin` of the point are what `covertree_residual_prepare_f64` gives. `coordinates` is packed (`dim`
// columns), `v` too (`columns`); `scales`, `margins` and `out` have `covertree_panels_len_f64(points, 1)` elements.
//
// # Safety
// Each pointer points to as many elements as the length after it says; `x` to `model.dim`, `v_x` to `model.columns`,
// `scales`, `margins` and `out` to `out_len`, `masks` to `out_len / 8`.
covertree_status covertree_residual_to_run_f64(uint32_t tier,
                                               struct covertree_residual_model model,
                                               const double *x,
                                               const double *v_x,
                                               double scale,
                                               double margin,
                                               const double *coordinates,
                                               size_t coordinates_len,
                                               const double *v,
                                               size_t v_len,
                                               size_t points,
                                               const double *scales,
                                               const double *margins,
                                               double least,
                                               double *out,
                                               size_t out_len,
                                               uint32_t *masks,
                                               struct covertree_error *error);

// Blocks of scratch that `covertree_landmarks_f64` takes.
size_t covertree_landmarks_blocks(size_t members, size_t most);

// Chooses at most `most` landmarks of a cluster by a pivoted partial Cholesky factorisation, and packs its members for
// `covertree_landmark_bounds_f64`. `count` becomes the number of landmarks.
//
// `rho` holds the correlations of all pairs, not cut to [-1, 1], row after row; `errors` the error factors of the members.
// No landmark is chosen when the largest squared tail is at or below `pivot`.
//
// # Safety
// `rho` points to `members * members` elements, `errors` to `members`, the memory to what its fields say, `scratch` to
// `scratch_len` blocks, `count` to one element.
covertree_status covertree_landmarks_f64(const double *rho,
                                         const double *errors,
                                         size_t members,
                                         size_t most,
                                         double pivot,
                                         struct covertree_frame_memory memory,
                                         size_t *count,
                                         struct covertree_block *scratch,
                                         size_t scratch_len,
                                         struct covertree_error *error);

// Upper bounds of `abs(rho)` of all pairs of members of a cluster, never below the truth, to `out` (`[lanes][lanes]`,
// `lanes = covertree_panels_len_f64(members, 1)`). Bit `l` of `masks[i * lanes / 8 + b]` is set where the bound of member
// `i` with member `8 b + l` is not below `least[i]`; `least` has `lanes` elements.
//
// `coordinates`, `spans`, `tails`, `slacks` are what `covertree_landmarks_f64` packed.
//
// # Safety
// `coordinates` points to `covertree_panels_len_f64(members, count)` elements, `spans`, `tails`, `slacks` and `least` to
// `lanes`, `out` to `lanes * lanes`, `masks` to `lanes * lanes / 8`.
covertree_status covertree_landmark_bounds_f64(uint32_t tier,
                                               size_t count,
                                               size_t members,
                                               const double *coordinates,
                                               const double *spans,
                                               const double *tails,
                                               const double *slacks,
                                               const double *least,
                                               double *out,
                                               uint32_t *masks,
                                               struct covertree_error *error);

// Version of the library, zero-terminated.
const char *covertree_version(void);

// Elements of `points` points of `dim` coordinates, packed: panels of 16 points, each stored `[dim][16]`.
size_t covertree_panels_len_f32(size_t points, size_t dim);

// Elements of `points` points of `dim` coordinates, packed: panels of 8 points, each stored `[dim][8]`.
size_t covertree_panels_len_f64(size_t points, size_t dim);

// Packs the rows `order[0..order_len]` of `rows` (`rows_len / dim` of them, one after the other) into `panels`, which has
// `covertree_panels_len_f32(order_len, dim)` elements; padding repeats the last point.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_pack_rows_f32(const float *rows,
                                         size_t rows_len,
                                         size_t dim,
                                         const int32_t *order,
                                         size_t order_len,
                                         float *panels,
                                         size_t panels_len,
                                         struct covertree_error *error);

// `covertree_pack_rows_f32`, of doubles.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_pack_rows_f64(const double *rows,
                                         size_t rows_len,
                                         size_t dim,
                                         const int32_t *order,
                                         size_t order_len,
                                         double *panels,
                                         size_t panels_len,
                                         struct covertree_error *error);

// Distances (as sums, see `COVERTREE_FORM_`) from one query to `points` packed points, rounded operation by operation: the
// same bits on every tier.
//
// `query` has `dim` elements, `panels` is packed, `out` has `covertree_panels_len_f32(points, 1)` elements.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_distances_f32(uint32_t tier,
                                         uint32_t form,
                                         const float *query,
                                         size_t dim,
                                         const float *panels,
                                         size_t panels_len,
                                         size_t points,
                                         float *out,
                                         size_t out_len,
                                         struct covertree_error *error);

// `covertree_distances_f32`, of doubles.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_distances_f64(uint32_t tier,
                                         uint32_t form,
                                         const double *query,
                                         size_t dim,
                                         const double *panels,
                                         size_t panels_len,
                                         size_t points,
                                         double *out,
                                         size_t out_len,
                                         struct covertree_error *error);

// The `k` smallest of `len` pairs by (distance, id), ascending, to `best_distances` and `best_ids`, padded with infinity
// and -1. Ids are not negative. `found` becomes how many there are.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `found` to one.
covertree_status covertree_k_best(const double *distances,
                                  const int32_t *ids,
                                  size_t len,
                                  double *best_distances,
                                  int32_t *best_ids,
                                  size_t k,
                                  size_t *found,
                                  struct covertree_error *error);

// The least and the greatest coordinate in each dimension of `rows_len / dim` rows, to `low[0..dim]` and `high[0..dim]`.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `low` and `high` to `dim`.
covertree_status covertree_bounds_f64(uint32_t tier,
                                      const double *rows,
                                      size_t rows_len,
                                      size_t dim,
                                      double *low,
                                      double *high,
                                      struct covertree_error *error);

// Positions of `rows_len / dim` rows along the Hilbert curve through the box from `low` to `high`, to `keys`.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `low` and `high` to `dim`.
covertree_status covertree_hilbert_keys_f64(uint32_t tier,
                                            const double *rows,
                                            size_t rows_len,
                                            size_t dim,
                                            const double *low,
                                            const double *high,
                                            uint64_t *keys,
                                            size_t keys_len,
                                            struct covertree_error *error);

// The seeded offsets of the grid of cells of `width` on a level (of any sign) and with a shift, to `offsets[0..dim]`.
//
// # Safety
// `offsets` points to `dim` elements.
covertree_status covertree_grid_offsets(uint64_t seed,
                                        int32_t level,
                                        uint32_t shift,
                                        double width,
                                        double *offsets,
                                        size_t dim,
                                        struct covertree_error *error);

// The keys of the cells in which the rows `ids[0..ids_len]` of `rows` lie, to `keys`; levels and shifts have keys of their
// own.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `offsets` to `dim`.
covertree_status covertree_cell_keys_f64(const double *rows,
                                         size_t rows_len,
                                         size_t dim,
                                         const int32_t *ids,
                                         size_t ids_len,
                                         double width,
                                         const double *offsets,
                                         int32_t level,
                                         uint32_t shift,
                                         uint64_t *keys,
                                         size_t keys_len,
                                         struct covertree_error *error);

// Covariances of squared scaled distances, to `out`: within 32 roundoffs of the variance of the exact ones.
//
// # Safety
// `squares` and `out` point to `len` elements each.
covertree_status covertree_covariances_f64(uint32_t tier,
                                           uint32_t kind,
                                           double variance,
                                           const double *squares,
                                           double *out,
                                           size_t len,
                                           struct covertree_error *error);

// Coordinates over lengthscales, one per dimension, to `out`: `out[i][d] = rows[i][d] / lengthscales[d]` of `rows_len / dim` rows, the
// same bits on every tier. Squared distances of these are what `covertree_covariances_f64` takes.
//
// # Safety
// `rows` and `out` point to `rows_len` elements each, `lengthscales` to `dim`.
covertree_status covertree_scale_rows_f64(uint32_t tier,
                                          const double *rows,
                                          size_t rows_len,
                                          size_t dim,
                                          const double *lengthscales,
                                          double *out,
                                          struct covertree_error *error);

// Blocks of scratch that `covertree_principal_axes_f32` and `covertree_principal_axes_f64` take.
size_t covertree_principal_axes_blocks(size_t dim);

// The axes along which `rows_len / dim` rows vary most, to `axes`, through their mean, to `center[0..dim]`. `count` becomes
// how many are worth their cost, from 1 to `COVERTREE_AXES`.
//
// `axes` has `dim * COVERTREE_AXES` elements: axis `a` is column `a`; columns from `count` on are zero. Of rows that are not
// finite, or too far apart for their differences to be, the axes mean nothing, and `covertree_project_rows_f32` may refuse them.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `center` to `dim`, `count` to one.
covertree_status covertree_principal_axes_f32(uint32_t tier,
                                              const float *rows,
                                              size_t rows_len,
                                              size_t dim,
                                              double *center,
                                              double *axes,
                                              size_t axes_len,
                                              size_t *count,
                                              struct covertree_block *scratch,
                                              size_t scratch_len,
                                              struct covertree_error *error);

// `covertree_principal_axes_f32`, of doubles.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `center` to `dim`, `count` to one.
covertree_status covertree_principal_axes_f64(uint32_t tier,
                                              const double *rows,
                                              size_t rows_len,
                                              size_t dim,
                                              double *center,
                                              double *axes,
                                              size_t axes_len,
                                              size_t *count,
                                              struct covertree_block *scratch,
                                              size_t scratch_len,
                                              struct covertree_error *error);

// Projected rows, to `out`: of each of `rows_len / dim` rows the `count` elements of its projection `P (x - c)`, then its own `dim`.
// `spread` becomes an upper bound of the distances of the rows from the center. No two projections are farther apart than
// `covertree_projection_stretch_f32` times the distance of their rows, and `covertree_projection_excess_f32`.
//
// `center` has `dim` elements, `axes` `dim * COVERTREE_AXES`, as `covertree_principal_axes_f32` fills them; `count` is from 1 to
// `COVERTREE_AXES`. `out` has `count + dim` elements for each row. Rows are finite.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `center` to `dim`, `spread` to one.
covertree_status covertree_project_rows_f32(uint32_t tier,
                                            const double *center,
                                            const double *axes,
                                            size_t axes_len,
                                            size_t count,
                                            const float *rows,
                                            size_t rows_len,
                                            size_t dim,
                                            float *out,
                                            size_t out_len,
                                            double *spread,
                                            struct covertree_error *error);

// `covertree_project_rows_f32`, of doubles.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `center` to `dim`, `spread` to one.
covertree_status covertree_project_rows_f64(uint32_t tier,
                                            const double *center,
                                            const double *axes,
                                            size_t axes_len,
                                            size_t count,
                                            const double *rows,
                                            size_t rows_len,
                                            size_t dim,
                                            double *out,
                                            size_t out_len,
                                            double *spread,
                                            struct covertree_error *error);

// The factor by which stored projections of singles may be farther apart than their rows, beside the excess.
double covertree_projection_stretch_f32(size_t dim);

// `covertree_projection_stretch_f32`, of doubles.
double covertree_projection_stretch_f64(size_t dim);

// By how much stored projections of singles may be farther apart than the stretched distance of their rows, one of which is
// within `spread` of the center.
double covertree_projection_excess_f32(size_t dim,
                                       double spread);

// `covertree_projection_excess_f32`, of doubles.
double covertree_projection_excess_f64(size_t dim, double spread);

// Stable counting sort: the rows of key `g` become `rows[starts[g]..starts[g + 1]]`, in their order. `starts` has
// `groups + 1` elements, `rows` as many as `keys`; keys lie in `0..groups`.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_group_by_key(const int32_t *keys,
                                        size_t keys_len,
                                        int32_t groups,
                                        int32_t *starts,
                                        size_t starts_len,
                                        int32_t *rows,
                                        size_t rows_len,
                                        struct covertree_error *error);

// How many columns each row has within its radius (at most), to `counts`.
//
// # Safety
// Each pointer points to as many elements as the length after it says; `counts` to `radius_len`.
covertree_status covertree_count_within_f64(uint32_t tier,
                                            struct covertree_scope scope,
                                            const double *panels,
                                            size_t panels_len,
                                            size_t dim,
                                            size_t points,
                                            const double *radius,
                                            size_t radius_len,
                                            int32_t *counts,
                                            struct covertree_error *error);

// Those columns, row after row, ascending, with their distances. `counts` is what `covertree_count_within_f64` gave for
// the same scope; `columns` and `distances` have as many elements as the counts sum up to.
//
// # Safety
// Each pointer points to as many elements as the length after it says; `counts` to `radius_len`, `distances` to
// `columns_len`.
covertree_status covertree_emit_within_f64(uint32_t tier,
                                           struct covertree_scope scope,
                                           const double *panels,
                                           size_t panels_len,
                                           size_t dim,
                                           size_t points,
                                           const double *radius,
                                           size_t radius_len,
                                           const int32_t *counts,
                                           int32_t *columns,
                                           double *distances,
                                           size_t columns_len,
                                           struct covertree_error *error);

// Blocks of scratch that `covertree_mis` takes.
size_t covertree_mis_blocks(size_t vertices);

// A maximal independent set of a graph in compressed rows (both directions of each edge), by Luby rounds. `starts` has
// one element more than there are vertices, `state` (in: open or inactive, out: decided) one for each.
//
// # Safety
// Each pointer points to as many elements as the length after it says.
covertree_status covertree_mis(const int32_t *starts,
                               size_t starts_len,
                               const int32_t *targets,
                               size_t targets_len,
                               uint64_t seed,
                               int32_t *state,
                               size_t state_len,
                               struct covertree_block *scratch,
                               size_t scratch_len,
                               struct covertree_error *error);

// Whether `state` is a maximal independent set of the active vertices: `broken` becomes 0 if it is, else 1.
//
// # Safety
// Each pointer points to as many elements as the length after it says, `broken` to one.
covertree_status covertree_verify_mis(const int32_t *starts,
                                      size_t starts_len,
                                      const int32_t *targets,
                                      size_t targets_len,
                                      const int32_t *state,
                                      size_t state_len,
                                      int32_t *broken,
                                      struct covertree_error *error);

// Positions (counted from `first`) of the values up to `threshold`, ascending, to the front of `positions`, which has as
// many elements as `values`. `found` becomes how many there are; a NaN never is.
//
// # Safety
// `values` and `positions` point to `len` elements each, `found` to one.
covertree_status covertree_positions_at_most_f32(uint32_t tier,
                                                 const float *values,
                                                 size_t len,
                                                 float threshold,
                                                 int32_t first,
                                                 int32_t *positions,
                                                 size_t *found,
                                                 struct covertree_error *error);

// Blocks of scratch that `covertree_kth_smallest_f64` takes.
size_t covertree_kth_smallest_blocks_f64(size_t len);

// The `k`-th smallest of `len` values, counted from 1.
//
// # Safety
// `values` points to `len` elements, `scratch` to `scratch_len` blocks, `out` to one element.
covertree_status covertree_kth_smallest_f64(uint32_t tier,
                                            const double *values,
                                            size_t len,
                                            size_t k,
                                            double *out,
                                            struct covertree_block *scratch,
                                            size_t scratch_len,
                                            struct covertree_error *error);

// Holds the checksum of a tree file against its contents: one pass over all bytes. Opening does not do so.
//
// # Safety
// `bytes` points to `len` bytes.
covertree_status covertree_tree_verify(const uint8_t *bytes, size_t len, struct covertree_error *error);

// Checks a tree file in memory (aligned to 8 bytes at least, better 64) and makes a handle for it. Nothing is copied, but
// a few numbers. Whatever the bytes are, the file is refused, or can be searched without harm. Where it is refused, the handle stays
// what it was.
//
// # Safety
// `bytes` points to `len` bytes, which must stay for as long as the handle is used; `tree` points to a handle.
covertree_status covertree_tree_open(const uint8_t *bytes,
                                     size_t len,
                                     struct covertree_tree *tree,
                                     struct covertree_error *error);

// Tells what there is to know about a tree.
//
// # Safety
// `tree` points to a handle that `covertree_tree_open` filled, `info` to room for the answer.
covertree_status covertree_tree_about(const struct covertree_tree *tree,
                                      struct covertree_tree_info *info,
                                      struct covertree_error *error);

// Makes a query of a row of coordinates (under the metric `angular`, of a unit vector) for any tree with coordinates of 4 bytes: puts the
// projection ahead of them where the tree's points have one, and only copies them where not.
//
// # Safety
// `tree` points to a handle that `covertree_tree_open` filled, `row` to `row_len` elements, `out` to `out_len`.
covertree_status covertree_tree_query_f32(uint32_t tier,
                                          const struct covertree_tree *tree,
                                          const float *row,
                                          size_t row_len,
                                          float *out,
                                          size_t out_len,
                                          struct covertree_error *error);

// `covertree_tree_query_f32`, for a tree with coordinates of 8 bytes.
//
// # Safety
// As for `covertree_tree_query_f32`.
covertree_status covertree_tree_query_f64(uint32_t tier,
                                          const struct covertree_tree *tree,
                                          const double *row,
                                          size_t row_len,
                                          double *out,
                                          size_t out_len,
                                          struct covertree_error *error);

// The unit vector of which a tree under the metric `angular` takes the query.
//
// # Safety
// `row` and `out` point to `dim` elements each.
covertree_status covertree_unit_row_f64(const double *row, double *out, size_t dim, struct covertree_error *error);

// The row that a tree under the metric `haversine` takes as a query, from a place in degrees. `dim` is that of the tree.
//
// # Safety
// `out` points to `dim` elements.
covertree_status covertree_haversine_row_f64(double lon,
                                             double lat,
                                             double *out,
                                             size_t dim,
                                             struct covertree_error *error);

// The `k` nearest points to a query by (distance, id), ascending, to `distances` and `ids`, padded with infinity and -1:
// exactly those of a brute force by the published formula of the metric. The point of the id `except` is left out (-1:
// none is). `found` becomes how many there are. The tree has coordinates of 4 bytes.
//
// # Safety
// `tree` points to a handle that `covertree_tree_open` filled, `query` to `query_len` elements, `distances` and `ids` to
// `k`, `found` to one, `scratch` to `scratch_len` blocks.
covertree_status covertree_knn_f32(uint32_t tier,
                                   const struct covertree_tree *tree,
                                   const float *query,
                                   size_t query_len,
                                   int32_t except,
                                   double *distances,
                                   int32_t *ids,
                                   size_t k,
                                   size_t *found,
                                   struct covertree_block *scratch,
                                   size_t scratch_len,
                                   struct covertree_error *error);

// `covertree_knn_f32`, for a tree with coordinates of 8 bytes.
//
// # Safety
// As for `covertree_knn_f32`.
covertree_status covertree_knn_f64(uint32_t tier,
                                   const struct covertree_tree *tree,
                                   const double *query,
                                   size_t query_len,
                                   int32_t except,
                                   double *distances,
                                   int32_t *ids,
                                   size_t k,
                                   size_t *found,
                                   struct covertree_block *scratch,
                                   size_t scratch_len,
                                   struct covertree_error *error);

// All points at most `radius` away from a query, in no particular order. `found` becomes how many there are; the first
// `room` of them are written. The point of the id `except` is left out (-1: none is). The tree has coordinates of 4 bytes.
//
// # Safety
// As for `covertree_knn_f32`, with `room` for `k`.
covertree_status covertree_within_f32(uint32_t tier,
                                      const struct covertree_tree *tree,
                                      const float *query,
                                      size_t query_len,
                                      double radius,
                                      int32_t except,
                                      double *distances,
                                      int32_t *ids,
                                      size_t room,
                                      size_t *found,
                                      struct covertree_block *scratch,
                                      size_t scratch_len,
                                      struct covertree_error *error);

// `covertree_within_f32`, for a tree with coordinates of 8 bytes.
//
// # Safety
// As for `covertree_within_f32`.
covertree_status covertree_within_f64(uint32_t tier,
                                      const struct covertree_tree *tree,
                                      const double *query,
                                      size_t query_len,
                                      double radius,
                                      int32_t except,
                                      double *distances,
                                      int32_t *ids,
                                      size_t room,
                                      size_t *found,
                                      struct covertree_block *scratch,
                                      size_t scratch_len,
                                      struct covertree_error *error);

// The least id in each group of a tree, to `earliest` (as many elements as the tree has groups): for searches among the
// points that come before another.
//
// # Safety
// `tree` points to a handle that `covertree_tree_open` filled, `earliest` to `groups` elements.
covertree_status covertree_earliest(const struct covertree_tree *tree,
                                    int32_t *earliest,
                                    size_t groups,
                                    struct covertree_error *error);

// `covertree_knn_f32` among the points whose id is below `before`: the neighbours of the point `before` among those that
// come before it. `earliest` is what `covertree_earliest` wrote, `groups` elements.
//
// # Safety
// As for `covertree_knn_f32`; `earliest` points to `groups` elements.
covertree_status covertree_knn_before_f32(uint32_t tier,
                                          const struct covertree_tree *tree,
                                          const float *query,
                                          size_t query_len,
                                          const int32_t *earliest,
                                          size_t groups,
                                          int32_t before,
                                          double *distances,
                                          int32_t *ids,
                                          size_t k,
                                          size_t *found,
                                          struct covertree_block *scratch,
                                          size_t scratch_len,
                                          struct covertree_error *error);

// `covertree_knn_before_f32`, for a tree with coordinates of 8 bytes.
//
// # Safety
// As for `covertree_knn_before_f32`.
covertree_status covertree_knn_before_f64(uint32_t tier,
                                          const struct covertree_tree *tree,
                                          const double *query,
                                          size_t query_len,
                                          const int32_t *earliest,
                                          size_t groups,
                                          int32_t before,
                                          double *distances,
                                          int32_t *ids,
                                          size_t k,
                                          size_t *found,
                                          struct covertree_block *scratch,
                                          size_t scratch_len,
                                          struct covertree_error *error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COVERTREE_H */
