#include "stages/chunk/chars.h"
#include "base/utf8.h"

#define L CHAR_LETTER
#define S CHAR_SPACE
#define O CHAR_OTHER
#define C CHAR_CLOSER
#define T CHAR_STOP

const uint8_t char_ascii[128] = {
    S, S, S, S, S, S, S, S, S, S, CHAR_LINE, S, S, S, S, S, /* controls */
    S, S, S, S, S, S, S, S, S, S, S,         S, S, S, S, S, /* controls */
    S, T, C, O, O, O, O, C, O, C, O,         O, O, O, T, O, /*   ! " # $ % & ' ( ) * + , - . / */
    L, L, L, L, L, L, L, L, L, L, O,         O, O, O, O, T, /* 0-9 : ; < = > ? */
    O, L, L, L, L, L, L, L, L, L, L,         L, L, L, L, L, /* @ A-O */
    L, L, L, L, L, L, L, L, L, L, L,         O, O, C, O, O, /* P-Z [ \ ] ^ _ */
    O, L, L, L, L, L, L, L, L, L, L,         L, L, L, L, L, /* ` a-o */
    L, L, L, L, L, L, L, L, L, L, L,         O, O, C, O, S, /* p-z { | } ~ DEL */
};

#undef L
#undef S
#undef O
#undef C
#undef T

typedef struct {
    uint32_t first;
    uint32_t last;
    char_class_t class;
} range_t;

/*  Sorted; what is in none is a letter. */
static const range_t ranges[] = {
    { 0x0080, 0x0084, CHAR_SPACE },    { 0x0085, 0x0085, CHAR_SPACE },    { 0x0086, 0x00a0, CHAR_SPACE },
    { 0x00a1, 0x00a9, CHAR_OTHER },    { 0x00ab, 0x00b1, CHAR_OTHER },    { 0x00b4, 0x00b4, CHAR_OTHER },
    { 0x00b6, 0x00b8, CHAR_OTHER },    { 0x00bb, 0x00bb, CHAR_CLOSER },   { 0x00bf, 0x00bf, CHAR_OTHER },
    { 0x00d7, 0x00d7, CHAR_OTHER },    { 0x00f7, 0x00f7, CHAR_OTHER },    { 0x037e, 0x037e, CHAR_STOP },
    { 0x0589, 0x0589, CHAR_FULLSTOP }, { 0x060c, 0x060d, CHAR_OTHER },    { 0x061b, 0x061b, CHAR_OTHER },
    { 0x061f, 0x061f, CHAR_STOP },     { 0x06d4, 0x06d4, CHAR_FULLSTOP }, { 0x0964, 0x0965, CHAR_FULLSTOP },
    { 0x0e00, 0x0eff, CHAR_UNSPACED }, { 0x1000, 0x1049, CHAR_UNSPACED }, { 0x104a, 0x104b, CHAR_FULLSTOP },
    { 0x104c, 0x109f, CHAR_UNSPACED }, { 0x1362, 0x1362, CHAR_FULLSTOP }, { 0x1680, 0x1680, CHAR_SPACE },
    { 0x1780, 0x17d3, CHAR_UNSPACED }, { 0x17d4, 0x17d5, CHAR_FULLSTOP }, { 0x17d6, 0x17ff, CHAR_UNSPACED },
    { 0x2000, 0x200b, CHAR_SPACE },    { 0x2010, 0x2018, CHAR_OTHER },    { 0x2019, 0x2019, CHAR_CLOSER },
    { 0x201a, 0x201c, CHAR_OTHER },    { 0x201d, 0x201d, CHAR_CLOSER },   { 0x201e, 0x2025, CHAR_OTHER },
    { 0x2026, 0x2026, CHAR_STOP },     { 0x2027, 0x2027, CHAR_OTHER },    { 0x2028, 0x2029, CHAR_LINE },
    { 0x202a, 0x202f, CHAR_SPACE },    { 0x2030, 0x2038, CHAR_OTHER },    { 0x2039, 0x2039, CHAR_OTHER },
    { 0x203a, 0x203a, CHAR_CLOSER },   { 0x203b, 0x203b, CHAR_OTHER },    { 0x203c, 0x203d, CHAR_STOP },
    { 0x203e, 0x2046, CHAR_OTHER },    { 0x2047, 0x2049, CHAR_STOP },     { 0x204a, 0x205e, CHAR_OTHER },
    { 0x205f, 0x206f, CHAR_SPACE },    { 0x20a0, 0x20cf, CHAR_OTHER },    { 0x2190, 0x2bff, CHAR_OTHER },
    { 0x2e80, 0x2fff, CHAR_WIDE },     { 0x3000, 0x3000, CHAR_SPACE },    { 0x3001, 0x3001, CHAR_OTHER },
    { 0x3002, 0x3002, CHAR_FULLSTOP }, { 0x3003, 0x3007, CHAR_WIDE },     { 0x3008, 0x3008, CHAR_OTHER },
    { 0x3009, 0x3009, CHAR_CLOSER },   { 0x300a, 0x300a, CHAR_OTHER },    { 0x300b, 0x300b, CHAR_CLOSER },
    { 0x300c, 0x300c, CHAR_OTHER },    { 0x300d, 0x300d, CHAR_CLOSER },   { 0x300e, 0x300e, CHAR_OTHER },
    { 0x300f, 0x300f, CHAR_CLOSER },   { 0x3010, 0x3010, CHAR_OTHER },    { 0x3011, 0x3011, CHAR_CLOSER },
    { 0x3012, 0x3014, CHAR_OTHER },    { 0x3015, 0x3015, CHAR_CLOSER },   { 0x3016, 0x301f, CHAR_OTHER },
    { 0x3020, 0xa4cf, CHAR_WIDE },     { 0xac00, 0xd7ff, CHAR_WIDE },     { 0xf900, 0xfaff, CHAR_WIDE },
    { 0xfe30, 0xfe4f, CHAR_OTHER },    { 0xff01, 0xff01, CHAR_FULLSTOP }, { 0xff02, 0xff08, CHAR_OTHER },
    { 0xff09, 0xff09, CHAR_CLOSER },   { 0xff0a, 0xff0d, CHAR_OTHER },    { 0xff0e, 0xff0e, CHAR_FULLSTOP },
    { 0xff0f, 0xff0f, CHAR_OTHER },    { 0xff1a, 0xff1e, CHAR_OTHER },    { 0xff1f, 0xff1f, CHAR_FULLSTOP },
    { 0xff20, 0xff20, CHAR_OTHER },    { 0xff3b, 0xff40, CHAR_OTHER },    { 0xff5b, 0xff60, CHAR_OTHER },
    { 0xff61, 0xff61, CHAR_FULLSTOP }, { 0xff62, 0xff65, CHAR_OTHER },    { 0xff66, 0xff9f, CHAR_WIDE },
    { 0x1f000, 0x3ffff, CHAR_WIDE },
};
#define RANGE_COUNT (sizeof ranges / sizeof ranges[0])

static char_class_t look_up (uint32_t c)
{
    size_t low = 0, high = RANGE_COUNT;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < RANGE_COUNT && ranges[low].first <= c ? ranges[low].class : CHAR_LETTER;
}

char_class_t char_class (const unsigned char *at, size_t left, size_t *width)
{
    /* The letters of Latin, Greek and Cyrillic: two bytes, and most of what is no ASCII in most texts. */
    if (left >= 2 && at[0] >= 0xc4 && at[0] <= 0xd3 && (at[1] & 0xc0) == 0x80 && !(at[0] == 0xcd && at[1] == 0xbe)) {
        *width = 2;
        return CHAR_LETTER;
    }
    *width = utf8_width (span (at, left));
    switch (*width) {
    case 2:
        return look_up ((at[0] & 0x1fu) << 6 | (at[1] & 0x3fu));
    case 3:
        if (at[0] >= 0xe4 && at[0] <= 0xe9)
            return CHAR_WIDE; /* the bulk of Han */
        return look_up ((at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu));
    case 4:
        return look_up ((at[0] & 0x07u) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3fu));
    default:
        *width = 1;
        return CHAR_OTHER;
    }
}
