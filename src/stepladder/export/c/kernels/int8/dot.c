#ifdef __ARM_FEATURE_DSP
#include <arm_acle.h>
#include <string.h>
#define TURNED(word) ((word) >> 8 | (word) << 24)
#endif

/* Two sums of products of the same x; four products at a time where the processor has them. */
static void dot(const uint8_t* x, const int8_t* v, const int8_t* w, int taps, int32_t* sums) {
    int32_t a = sums[0], b = sums[1];
    const uint8_t* const end = x + taps;
#ifdef __ARM_FEATURE_DSP
    for (; end - x >= 4; x += 4, v += 4, w += 4) {
        uint32_t xs, vs, ws;
        memcpy(&xs, x, 4);
        memcpy(&vs, v, 4);
        memcpy(&ws, w, 4);
        const uint16x2_t even = __uxtb16(xs), odd = __uxtb16(TURNED(xs));
        a = __smlad((int16x2_t)even, __sxtb16((int8x4_t)vs), a);
        b = __smlad((int16x2_t)even, __sxtb16((int8x4_t)ws), b);
        a = __smlad((int16x2_t)odd, __sxtb16((int8x4_t)TURNED(vs)), a);
        b = __smlad((int16x2_t)odd, __sxtb16((int8x4_t)TURNED(ws)), b);
    }
#else
    for (; end - x >= 4; x += 4, v += 4, w += 4) {
        a += x[0] * v[0] + x[1] * v[1] + x[2] * v[2] + x[3] * v[3];
        b += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
    }
#endif
    for (; x < end; x++, v++, w++) {
        a += *x * *v;
        b += *x * *w;
    }
    sums[0] = a;
    sums[1] = b;
}
