#include "store/scan.h"

#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

float scan_exact (const vectors_t *vectors, uint32_t row, const float *query)
{
    const int8_t *high = vectors->high + (size_t)row * vectors->dims, *low = vectors->low + (size_t)row * vectors->dims;
    float sum = 0;
    for (uint32_t i = 0; i < vectors->dims; i++)
        sum += (float)(high[i] * 256 + low[i]) * query[i];
    return sum * vectors_scale (vectors, row);
}

void scan_query_init (scan_query_t *self, const float *query, uint32_t dims)
{
    int8_t *low = malloc (dims + 1);
    self->dims = dims;
    self->high = calloc (1, dims + 1);
    if (!low || !self->high)
        abort ();
    vectors_quantise (query, dims, &self->scale, self->high, low);
    free (low);
}

void scan_query_free (scan_query_t *self)
{
    free (self->high);
    self->high = NULL;
}

static int32_t dot_plain (const int8_t *a, const int8_t *b, uint32_t dims)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < dims; i++)
        sum += a[i] * b[i];
    return sum;
}

#if defined(__x86_64__)
/*  Both use |a| × (b with a's sign), because the instructions want one unsigned side; no byte is -128, so that the
 *  pairwise 16-bit sums of AVX2 cannot saturate. */
__attribute__ ((target ("avx2"))) static int32_t add_up (__m256i sum)
{
    __m128i half = _mm_add_epi32 (_mm256_castsi256_si128 (sum), _mm256_extracti128_si256 (sum, 1));
    half = _mm_add_epi32 (half, _mm_shuffle_epi32 (half, 0x4E));
    half = _mm_add_epi32 (half, _mm_shuffle_epi32 (half, 0xB1));
    return _mm_cvtsi128_si32 (half);
}

__attribute__ ((target ("avx2"))) static int32_t dot_avx2 (const int8_t *a, const int8_t *b, uint32_t dims)
{
    __m256i sum = _mm256_setzero_si256 (), ones = _mm256_set1_epi16 (1);
    uint32_t i = 0;
    for (; i + 32 <= dims; i += 32) {
        __m256i x = _mm256_loadu_si256 ((const __m256i *)(const void *)(a + i));
        __m256i y = _mm256_loadu_si256 ((const __m256i *)(const void *)(b + i));
        __m256i pairs = _mm256_maddubs_epi16 (_mm256_abs_epi8 (x), _mm256_sign_epi8 (y, x));
        sum = _mm256_add_epi32 (sum, _mm256_madd_epi16 (pairs, ones));
    }
    return add_up (sum) + dot_plain (a + i, b + i, dims - i);
}

__attribute__ ((target ("avx2,avx512vnni,avx512vl"))) static int32_t dot_vnni (const int8_t *a, const int8_t *b,
                                                                               uint32_t dims)
{
    __m256i sum = _mm256_setzero_si256 ();
    uint32_t i = 0;
    for (; i + 32 <= dims; i += 32) {
        __m256i x = _mm256_loadu_si256 ((const __m256i *)(const void *)(a + i));
        __m256i y = _mm256_loadu_si256 ((const __m256i *)(const void *)(b + i));
        sum = _mm256_dpbusd_epi32 (sum, _mm256_abs_epi8 (x), _mm256_sign_epi8 (y, x));
    }
    return add_up (sum) + dot_plain (a + i, b + i, dims - i);
}
#endif

scan_dot_fn *scan_dot_of (int which)
{
    scan_dot_fn *ways[4] = { dot_plain };
    int count = 1;
#if defined(__x86_64__)
    if (__builtin_cpu_supports ("avx2"))
        ways[count++] = dot_avx2;
    if (__builtin_cpu_supports ("avx512vnni") && __builtin_cpu_supports ("avx512vl"))
        ways[count++] = dot_vnni;
#endif
    return which < count ? ways[which] : NULL;
}

scan_dot_fn *scan_dot (void)
{
    scan_dot_fn *best = dot_plain;
    for (int i = 1; scan_dot_of (i); i++)
        best = scan_dot_of (i);
    return best;
}

void scan_rows (const scan_query_t *query, const int8_t *high, const float *scales, const uint64_t *rows,
                uint32_t count, top_t *top)
{
    scan_dot_fn *dot = scan_dot ();
    float scale = query->scale * 65536.0f; /* both sides' bytes count 256 */
    for (uint32_t i = 0; i < count; i++) {
        float row_scale; /* whoever writes may blank the row out meanwhile */
        __atomic_load (&scales[i], &row_scale, __ATOMIC_RELAXED);
        float score = (float)dot (query->high, high + (size_t)i * query->dims, query->dims) * row_scale * scale;
        if (score >= top_floor (top))
            top_push (top, rows[i], score);
    }
}
