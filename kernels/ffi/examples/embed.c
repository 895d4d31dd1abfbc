/*
 * One kernel of each family, and searches of a tree that `covertree build` wrote, in a program without libc: no allocator,
 * no start-up code, nothing but this file and the library. All memory is static. Prints what failed; exits with 0 if
 * nothing did. `run.sh` beside it makes the data, compiles, links and runs it.
 */
#include "covertree.h"

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The tree file and the points that it was built over (a .npy file of floats), linked into the program. */
__asm__(".section .rodata\n"
        ".balign 64\n.globl tree_file\ntree_file:\n.incbin \"" TREE_FILE "\"\n.globl tree_file_end\ntree_file_end:\n"
        ".balign 64\n.globl points_file\npoints_file:\n.incbin \"" POINTS_FILE "\"\n.globl points_file_end\n"
        "points_file_end:\n.previous\n");
extern const uint8_t tree_file[], tree_file_end[], points_file[], points_file_end[];

/* --- what a program without libc must bring along --- */

void *memcpy(void *to, const void *from, size_t len) {
    for (size_t i = 0; i < len; i++) ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}
void *memmove(void *to, const void *from, size_t len) {
    if ((uintptr_t)to <= (uintptr_t)from) return memcpy(to, from, len);
    while (len-- > 0) ((uint8_t *)to)[len] = ((const uint8_t *)from)[len];
    return to;
}
void *memset(void *to, int byte, size_t len) {
    for (size_t i = 0; i < len; i++) ((uint8_t *)to)[i] = (uint8_t)byte;
    return to;
}
int memcmp(const void *a, const void *b, size_t len) {
    for (size_t i = 0; i < len; i++) {
        int difference = ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
        if (difference != 0) return difference;
    }
    return 0;
}
int bcmp(const void *a, const void *b, size_t len) { return memcmp(a, b, len); }

#if defined(__x86_64__)
static long system_call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}
enum { WRITE = 1, EXIT = 60 };
__asm__(".globl _start\n_start:\nxor %ebp, %ebp\nand $-16, %rsp\ncall run\nud2\n");
#elif defined(__aarch64__)
static long system_call(long number, long a, long b, long c) {
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}
enum { WRITE = 64, EXIT = 93 };
__asm__(".globl _start\n_start:\nmov x29, #0\nbl run\nbrk #1\n");
#else
#error "add how this machine calls its system"
#endif

static void say(const char *text) {
    size_t len = 0;
    while (text[len] != 0) len++;
    system_call(WRITE, 2, (long)text, (long)len);
}

static int failures;
static covertree_error error;

#define CHECK(condition)                                                  \
    do {                                                                  \
        if (!(condition)) {                                               \
            say("failed: " #condition "\n");                              \
            failures++;                                                   \
        }                                                                 \
    } while (0)
#define DONE(call) CHECK((call) == COVERTREE_STATUS_OK)

/* --- one kernel of each family --- */

static uint64_t state = 1;
/* A number in 0..1 from a linear congruential generator. */
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}
static double absolute(double x) { return x < 0 ? -x : x; }
static double apart(const double *a, const double *b, size_t len) {
    double sum = 0;
    for (size_t i = 0; i < len; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return __builtin_sqrt(sum);
}

static covertree_block scratch[4096];

static void distances_and_selection(void) {
    enum { POINTS = 37, DIM = 5, LANES = 48, K = 4 };
    static float rows[POINTS * DIM], panels[LANES * DIM], out[LANES], query[DIM];
    static int32_t order[POINTS], positions[POINTS], best_ids[K];
    static double wide[POINTS], best[K];
    for (size_t i = 0; i < LEN(rows); i++) rows[i] = (float)uniform();
    for (size_t d = 0; d < DIM; d++) query[d] = (float)uniform();
    for (int32_t i = 0; i < POINTS; i++) order[i] = i;
    CHECK(covertree_panels_len_f32(POINTS, DIM) == LEN(panels));
    DONE(covertree_pack_rows_f32(rows, LEN(rows), DIM, order, POINTS, panels, LEN(panels), &error));
    for (uint32_t tier = COVERTREE_TIER_PORTABLE; tier <= covertree_tier_best(); tier++) {
        DONE(covertree_distances_f32(tier, COVERTREE_FORM_SQUARED_EUCLIDEAN, query, DIM, panels, LEN(panels), POINTS, out,
                                     LANES, &error));
        for (size_t i = 0; i < POINTS; i++) {
            float sum = 0;
            for (size_t d = 0; d < DIM; d++) sum += (query[d] - rows[i * DIM + d]) * (query[d] - rows[i * DIM + d]);
            CHECK(out[i] == sum);
            wide[i] = sum;
        }
    }

    size_t found = 0, below = 0;
    DONE(covertree_positions_at_most_f32(COVERTREE_TIER_BEST, out, POINTS, 0.5f, 0, positions, &found, &error));
    for (int32_t i = 0; i < POINTS; i++) {
        if (out[i] <= 0.5f) CHECK(positions[below++] == i);
    }
    CHECK(found == below && below > 0 && below < POINTS);

    DONE(covertree_k_best(wide, order, POINTS, best, best_ids, K, &found, &error));
    CHECK(found == K);
    for (size_t k = 0; k < K; k++) {
        size_t smaller = 0;
        for (size_t i = 0; i < POINTS; i++) smaller += wide[i] < best[k];
        CHECK(smaller == k && wide[best_ids[k]] == best[k]);
        double kth = 0;
        DONE(covertree_kth_smallest_f64(COVERTREE_TIER_BEST, wide, POINTS, k + 1, &kth, scratch,
                                        covertree_kth_smallest_blocks_f64(POINTS), &error));
        CHECK(kth == best[k]);
    }
}

/* Along the Hilbert curve through a lattice each step leads to a neighbour. */
static void order_keys(void) {
    enum { SIDE = 8, POINTS = SIDE * SIDE };
    static double rows[POINTS * 2], low[2], high[2];
    static uint64_t keys[POINTS];
    for (size_t i = 0; i < POINTS; i++) {
        rows[2 * i] = (double)(i % SIDE);
        rows[2 * i + 1] = (double)(i / SIDE);
    }
    DONE(covertree_bounds_f64(COVERTREE_TIER_BEST, rows, LEN(rows), 2, low, high, &error));
    CHECK(low[0] == 0 && low[1] == 0 && high[0] == SIDE - 1 && high[1] == SIDE - 1);
    DONE(covertree_hilbert_keys_f64(COVERTREE_TIER_BEST, rows, LEN(rows), 2, low, high, keys, POINTS, &error));
    size_t last = POINTS;
    for (size_t step = 0; step < POINTS; step++) {
        size_t next = POINTS;
        for (size_t i = 0; i < POINTS; i++) {
            int later = last == POINTS || keys[i] > keys[last];
            if (later && (next == POINTS || keys[i] < keys[next])) next = i;
        }
        CHECK(next < POINTS);
        if (last < POINTS && next < POINTS) {
            double x = rows[2 * next] - rows[2 * last], y = rows[2 * next + 1] - rows[2 * last + 1];
            CHECK(absolute(x) + absolute(y) == 1);
        }
        last = next;
    }
}

static void groups_and_cells(void) {
    enum { POINTS = 200, GROUPS = 7 };
    static int32_t keys[POINTS], starts[GROUPS + 1], rows[POINTS], ids[POINTS];
    for (int32_t i = 0; i < POINTS; i++) {
        keys[i] = (int32_t)(uniform() * GROUPS);
        ids[i] = i;
    }
    DONE(covertree_group_by_key(keys, POINTS, GROUPS, starts, LEN(starts), rows, POINTS, &error));
    CHECK(starts[0] == 0 && starts[GROUPS] == POINTS);
    for (int32_t g = 0; g < GROUPS; g++) {
        for (int32_t i = starts[g]; i < starts[g + 1]; i++) {
            CHECK(keys[rows[i]] == g && (i == starts[g] || rows[i - 1] < rows[i]));
        }
    }

    static double points[POINTS * 2], offsets[2];
    static uint64_t cells[POINTS];
    for (size_t i = 0; i < LEN(points); i++) points[i] = 4 * uniform();
    DONE(covertree_grid_offsets(7, -3, 1, 1.0, offsets, 2, &error));
    DONE(covertree_cell_keys_f64(points, LEN(points), 2, ids, POINTS, 1.0, offsets, -3, 1, cells, POINTS, &error));
    for (size_t i = 0; i < POINTS; i++) {
        for (size_t j = 0; j < i; j++) {
            int same = 1;
            for (size_t d = 0; d < 2; d++) {
                same &= (long)(points[2 * i + d] + offsets[d]) == (long)(points[2 * j + d] + offsets[d]);
            }
            CHECK(same == (cells[i] == cells[j]));
        }
    }
}

/* The conflict graph of points on a line, and an independent set of it. */
static void graphs(void) {
    enum { POINTS = 64 };
    static double panels[POINTS], radius[POINTS], distances[POINTS * POINTS];
    static int32_t counts[POINTS], columns[POINTS * POINTS], starts[POINTS + 1], set[POINTS];
    for (size_t i = 0; i < POINTS; i++) {
        panels[i] = uniform();
        radius[i] = 0.1;
    }
    covertree_scope scope = {COVERTREE_FORM_MANHATTAN, 0, 0, 0, POINTS};
    DONE(covertree_count_within_f64(COVERTREE_TIER_BEST, scope, panels, POINTS, 1, POINTS, radius, POINTS, counts, &error));
    for (size_t i = 0; i < POINTS; i++) starts[i + 1] = starts[i] + counts[i];
    size_t edges = (size_t)starts[POINTS];
    DONE(covertree_emit_within_f64(COVERTREE_TIER_BEST, scope, panels, POINTS, 1, POINTS, radius, POINTS, counts, columns,
                                   distances, edges, &error));
    size_t edge = 0;
    for (int32_t i = 0; i < POINTS; i++) {
        for (int32_t j = 0; j < POINTS; j++) {
            double distance = absolute(panels[i] - panels[j]);
            if (i != j && distance <= 0.1) {
                CHECK(columns[edge] == j && distances[edge] == distance);
                edge++;
            }
        }
    }
    CHECK(edge == edges);
    DONE(covertree_mis(starts, LEN(starts), columns, edges, 42, set, POINTS, scratch, covertree_mis_blocks(POINTS), &error));
    for (size_t i = 0; i < POINTS; i++) {
        int beside = 0;
        for (int32_t e = starts[i]; e < starts[i + 1]; e++) beside |= set[columns[e]] == COVERTREE_MIS_IN;
        CHECK(set[i] == (beside ? COVERTREE_MIS_OUT : COVERTREE_MIS_IN));
    }
    int32_t broken = -1;
    DONE(covertree_verify_mis(starts, LEN(starts), columns, edges, set, POINTS, &broken, &error));
    CHECK(broken == 0);
}

/* No two projections are farther apart than their points, but for rounding; and nearly all that points near a line have
 * between them lies along it. */
static void projections(void) {
    enum { POINTS = 20, DIM = 24, WIDTH_MAX = COVERTREE_AXES + DIM };
    static double rows[POINTS * DIM], center[DIM], axes[DIM * COVERTREE_AXES], out[POINTS * WIDTH_MAX], spread;
    size_t count = 0, blocks = covertree_principal_axes_blocks(DIM);
    CHECK(blocks <= LEN(scratch));
    for (size_t i = 0; i < POINTS; i++) {
        double along = uniform();
        for (size_t d = 0; d < DIM; d++) rows[i * DIM + d] = along * (double)(d % 5) + 1e-3 * uniform();
    }
    for (uint32_t tier = COVERTREE_TIER_PORTABLE; tier <= covertree_tier_best(); tier++) {
        DONE(covertree_principal_axes_f64(tier, rows, LEN(rows), DIM, center, axes, LEN(axes), &count, scratch, blocks, &error));
        CHECK(count >= 1 && count <= COVERTREE_AXES);
        size_t width = count + DIM;
        DONE(covertree_project_rows_f64(tier, center, axes, LEN(axes), count, rows, LEN(rows), DIM, out, POINTS * width, &spread,
                                        &error));
        double stretch = covertree_projection_stretch_f64(DIM), excess = covertree_projection_excess_f64(DIM, spread);
        for (size_t i = 0; i < POINTS; i++) {
            CHECK(memcmp(out + i * width + count, rows + i * DIM, DIM * sizeof(double)) == 0);
            for (size_t j = 0; j < i; j++) {
                double whole = apart(rows + i * DIM, rows + j * DIM, DIM), part = apart(out + i * width, out + j * width, count);
                CHECK(part <= whole * stretch + excess && part >= whole - 1e-2);
            }
        }
    }
    CHECK(covertree_principal_axes_f64(0, rows, LEN(rows), DIM, center, axes, LEN(axes), &count, scratch, blocks - 1, &error) ==
          COVERTREE_STATUS_SCRATCH);
    CHECK(error.need == (int64_t)blocks && error.have == (int64_t)blocks - 1);
    CHECK(covertree_project_rows_f64(0, center, axes, LEN(axes), COVERTREE_AXES + 1, rows, LEN(rows), DIM, out, LEN(out), &spread,
                                     &error) == COVERTREE_STATUS_SHAPE);
    CHECK(error.need == COVERTREE_AXES && error.have == COVERTREE_AXES + 1);
}

/* Coordinates over a lengthscale for each dimension. */
static void lengthscales(void) {
    enum { POINTS = 11, DIM = 3 };
    static double rows[POINTS * DIM], scaled[POINTS * DIM], lengths[DIM] = {0.5, 3, 0.1};
    for (size_t i = 0; i < LEN(rows); i++) rows[i] = uniform();
    for (uint32_t tier = COVERTREE_TIER_PORTABLE; tier <= covertree_tier_best(); tier++) {
        DONE(covertree_scale_rows_f64(tier, rows, LEN(rows), DIM, lengths, scaled, &error));
        for (size_t i = 0; i < LEN(rows); i++) CHECK(scaled[i] == rows[i] / lengths[i % DIM]);
    }
    lengths[1] = 0;
    CHECK(covertree_scale_rows_f64(0, rows, LEN(rows), DIM, lengths, scaled, &error) == COVERTREE_STATUS_VALUE);
    CHECK(error.at == 1 && memcmp(error.what, "lengthscales", 13) == 0);
}

/* Residual correlations with one column of V, and their bounds. */
static void correlations(void) {
    enum { POINTS = 24, MOST = 6 };
    covertree_residual_model model = {COVERTREE_COVARIANCE_RBF, 1.0, 1, 1};
    static double x[POINTS], v[POINTS], p[POINTS], norms[POINTS], scales[POINTS], margins[POINTS], errors[POINTS];
    static double squares[POINTS * POINTS], k[POINTS * POINTS], rho[POINTS * POINTS], run[POINTS];
    static uint32_t masks[POINTS / 8];
    for (size_t i = 0; i < POINTS; i++) {
        x[i] = 3 * uniform();
        squares[i] = x[i] * x[i];
    }
    /* The inducing point lies at 0: V is the covariance with it. One panel of one column is a row. */
    DONE(covertree_covariances_f64(COVERTREE_TIER_BEST, model.kind, 1.0, squares, v, POINTS, &error));
    for (size_t i = 0; i < POINTS; i++) {
        p[i] = 1 - v[i] * v[i] + 1e-6;
        for (size_t j = 0; j < POINTS; j++) squares[i * POINTS + j] = (x[i] - x[j]) * (x[i] - x[j]);
    }
    DONE(covertree_covariances_f64(COVERTREE_TIER_BEST, model.kind, 1.0, squares, k, LEN(k), &error));
    DONE(covertree_residual_prepare_f64(model, v, POINTS, p, norms, POINTS, scales, margins, POINTS, &error));
    for (size_t i = 0; i < POINTS; i++) {
        DONE(covertree_residual_to_run_f64(COVERTREE_TIER_BEST, model, &x[i], &v[i], scales[i], margins[i], x, POINTS, v,
                                           POINTS, POINTS, scales, margins, 0.5, run, POINTS, masks, &error));
        for (size_t j = 0; j < POINTS; j++) {
            double *exact = &rho[i * POINTS + j];
            DONE(covertree_residual_rho(model, &x[i], &v[i], p[i], &x[j], &v[j], p[j], exact, &error));
            double own = (k[i * POINTS + j] - v[i] * v[j]) / __builtin_sqrt(p[i] * p[j]);
            CHECK(absolute(*exact - own) <= 1e-7); /* cut to [-1, 1], and p is at least 1e-6 */
            CHECK(absolute(run[j] - *exact) <= margins[i] * margins[j] + 1e-15);
            CHECK((masks[j / 8] >> (j % 8) & 1) || absolute(*exact) < 0.5);
        }
        errors[i] = margins[i];
    }

    static int32_t landmarks[MOST];
    static double factor[MOST * MOST], rows[POINTS * MOST], extents[POINTS * 3], coordinates[POINTS * MOST];
    static double spans[POINTS], tails[POINTS], slacks[POINTS], least[POINTS], bounds[POINTS * POINTS];
    static uint32_t bits[POINTS * POINTS / 8];
    covertree_frame_memory memory = {landmarks, factor, rows, extents, coordinates, spans, tails, slacks};
    size_t count = 0;
    DONE(covertree_landmarks_f64(rho, errors, POINTS, MOST, 1e-3, memory, &count, scratch,
                                 covertree_landmarks_blocks(POINTS, MOST), &error));
    CHECK(count > 0 && count <= MOST);
    for (size_t i = 0; i < POINTS; i++) least[i] = 0.5;
    DONE(covertree_landmark_bounds_f64(COVERTREE_TIER_BEST, count, POINTS, coordinates, spans, tails, slacks, least, bounds,
                                       bits, &error));
    for (size_t i = 0; i < LEN(bounds); i++) CHECK(i % (POINTS + 1) == 0 || bounds[i] >= absolute(rho[i]));
}

/* --- searches of a saved tree --- */

enum { DIM = 3, POINTS_MAX = 4096, K_MAX = 12 };
static const float *points; /* [count][DIM], aligned */
static size_t count;
static double truth[POINTS_MAX];
static covertree_tree tree;
static covertree_tree_info info;

/* Distances of all points to a query, by the published formula. */
static void brute_force(const float *query) {
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t d = 0; d < DIM; d++) {
            double difference = (double)query[d] - (double)points[i * DIM + d];
            sum += difference * difference;
        }
        truth[i] = __builtin_sqrt(sum);
    }
}

/* Whether `found` of `k` answers are the nearest by (distance, id) of the points below `before`. */
static int nearest(const double *distances, const int32_t *ids, size_t found, size_t k, size_t before) {
    if (found != (k < before ? k : before)) return 0;
    for (size_t i = 0; i < found; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= before || truth[ids[i]] != distances[i]) return 0;
        size_t ahead = 0;
        for (size_t j = 0; j < before; j++) {
            ahead += truth[j] < distances[i] || (truth[j] == distances[i] && j < (size_t)ids[i]);
        }
        if (ahead != i) return 0;
    }
    for (size_t i = found; i < k; i++) {
        if (ids[i] != -1 || distances[i] != __builtin_inf()) return 0;
    }
    return 1;
}

static void open_tree(void) {
    size_t header = 10 + (size_t)points_file[8] + 256 * (size_t)points_file[9];
    points = (const float *)(const void *)(points_file + header); /* a .npy header is a multiple of 64 bytes */
    count = (size_t)(points_file_end - points_file - (long)header) / sizeof(float) / DIM;
    size_t bytes = (size_t)(tree_file_end - tree_file);
    DONE(covertree_tree_verify(tree_file, bytes, &error));
    DONE(covertree_tree_open(tree_file, bytes, &tree, &error));
    DONE(covertree_tree_about(&tree, &info, &error));
    CHECK(info.dim == DIM && info.coordinates == DIM && info.coordinate_bytes == 4 && info.scaling == 0 && (size_t)info.points == count);
    CHECK(memcmp(info.metric, "euclidean", 10) == 0 && info.search_blocks <= LEN(scratch) && count <= POINTS_MAX);
}

static void search_tree(void) {
    static double distances[POINTS_MAX];
    static int32_t ids[POINTS_MAX], earliest[POINTS_MAX];
    size_t groups = (size_t)info.groups, blocks = info.search_blocks, found = 0;
    CHECK(groups <= LEN(earliest));
    DONE(covertree_earliest(&tree, earliest, groups, &error));
    for (size_t step = 0; step < 40; step++) {
        size_t id = step * 67 % count, k = 1 + step % K_MAX;
        const float *query = points + id * DIM;
        brute_force(query);
        for (uint32_t tier = COVERTREE_TIER_PORTABLE; tier <= covertree_tier_best(); tier++) {
            float made[DIM];
            DONE(covertree_tree_query_f32(tier, &tree, query, DIM, made, DIM, &error));
            CHECK(memcmp(made, query, sizeof made) == 0);
            DONE(covertree_knn_f32(tier, &tree, made, DIM, -1, distances, ids, k, &found, scratch, blocks, &error));
            CHECK(nearest(distances, ids, found, k, count));
            DONE(covertree_knn_before_f32(tier, &tree, query, DIM, earliest, groups, (int32_t)id, distances, ids, k, &found,
                                          scratch, blocks, &error));
            CHECK(nearest(distances, ids, found, k, id));
        }
        double radius = 0.05 + truth[(id + 1) % count] / 8;
        size_t inside = 0;
        for (size_t i = 0; i < count; i++) inside += truth[i] <= radius;
        DONE(covertree_within_f32(COVERTREE_TIER_BEST, &tree, query, DIM, radius, -1, distances, ids, count, &found, scratch,
                                  blocks, &error));
        CHECK(found == inside);
        for (size_t i = 0; i < found; i++) CHECK(truth[ids[i]] == distances[i] && distances[i] <= radius);
    }
}

/* --- wrong arguments: a code, both numbers, and nothing written --- */

static void refusals(void) {
    static double distances[4] = {7, 7, 7, 7};
    static int32_t ids[4] = {7, 7, 7, 7};
    static covertree_tree closed;
    float query[DIM] = {0};
    size_t found = 7, blocks = info.search_blocks;
    CHECK(covertree_knn_f32(0, &tree, query, 2, -1, distances, ids, 4, &found, scratch, blocks, &error) ==
          COVERTREE_STATUS_SHAPE);
    CHECK(error.code == COVERTREE_STATUS_SHAPE && error.need == DIM && error.have == 2);
    CHECK(memcmp(error.what, "query", 6) == 0);
    CHECK(covertree_knn_f32(0, &tree, query, DIM, -1, distances, ids, 4, &found, scratch, blocks - 1, &error) ==
          COVERTREE_STATUS_SCRATCH);
    CHECK(error.need == (int64_t)blocks && error.have == (int64_t)blocks - 1);
    CHECK(covertree_knn_f32(0, &tree, 0, DIM, -1, distances, ids, 4, &found, scratch, blocks, &error) ==
          COVERTREE_STATUS_NULL);
    CHECK(covertree_knn_f32(0, &tree, query, DIM, -1, distances, (int32_t *)distances, 4, &found, scratch, blocks, &error) ==
          COVERTREE_STATUS_OVERLAP);
    CHECK(covertree_knn_f32(0, &tree, query, DIM, -1, distances, (int32_t *)((char *)ids + 1), 3, &found, scratch, blocks,
                            &error) == COVERTREE_STATUS_MISALIGNED);
    CHECK(error.need == 4 && error.have == 1);
    CHECK(covertree_knn_f32(0, &tree, query, DIM, -1, distances, ids, 0, &found, scratch, blocks, 0) ==
          COVERTREE_STATUS_LEAST);
    CHECK(covertree_knn_f32(9, &tree, query, DIM, -1, distances, ids, 4, &found, scratch, blocks, 0) ==
          COVERTREE_STATUS_CHOICE);
    CHECK(covertree_knn_f32(0, &closed, query, DIM, -1, distances, ids, 4, &found, scratch, blocks, 0) ==
          COVERTREE_STATUS_NOT_OPEN);
    for (size_t i = 0; i < 4; i++) CHECK(distances[i] == 7 && ids[i] == 7);
    CHECK(found == 7);
    CHECK(covertree_tree_open(tree_file, 1000, &closed, &error) == COVERTREE_STATUS_SHAPE);
    CHECK(error.need == tree_file_end - tree_file && error.have == 1000);
    CHECK(covertree_tree_verify(tree_file, 1000, 0) == COVERTREE_STATUS_CHECKSUM);
}

__attribute__((used)) void run(void) {
    distances_and_selection();
    order_keys();
    groups_and_cells();
    graphs();
    projections();
    lengthscales();
    correlations();
    open_tree();
    if (failures == 0) {
        search_tree();
        refusals();
    }
    if (failures == 0) say("the C program agrees with brute force\n");
    system_call(EXIT, failures != 0, 0, 0);
}
