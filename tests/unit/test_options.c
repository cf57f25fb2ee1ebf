#include "base/options.h"
#include "base/similar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* link: base */

static const option_t table[] = {
    { "http", OPTION_TEXT, "127.0.0.1:8750", "ADDRESS", "where to listen" },
    { "chunk-tokens", OPTION_NUMBER, "200", "N", "words in a chunk" },
    { "upload-max", OPTION_SIZE, "100M", "BYTES", "largest document" },
    { "json", OPTION_FLAG, NULL, NULL, "print JSON" },
    { "token", OPTION_TEXT, NULL, "TEXT", "who is asking" },
    { 0 },
};

static options_t *parse (char **argv, err_t *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return options_new (table, argc, argv, err);
}
#define PARSE(err, ...) parse ((char *[]){ "program", __VA_ARGS__, NULL }, err)

static void write_file (char path[64], const char *text)
{
    snprintf (path, 64, "/tmp/test-options-XXXXXX");
    int fd = mkstemp (path);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, text, strlen (text)), (ssize_t)strlen (text));
    close (fd);
}

static void defaults_hold_where_nothing_is_given (void **state)
{
    options_t *options = PARSE (NULL, "word");
    assert_non_null (options);
    assert_string_equal (options_text (options, "http"), "127.0.0.1:8750");
    assert_int_equal (options_number (options, "chunk-tokens"), 200);
    assert_int_equal (options_number (options, "upload-max"), 100u << 20);
    assert_false (options_flag (options, "json"));
    assert_null (options_text (options, "token"));
    assert_false (options_given (options, "http"));
    assert_int_equal (options_argc (options), 1);
    assert_string_equal (options_arg (options, 0), "word");
    assert_null (options_arg (options, 1));
    options_destroy (&options);
    assert_null (options);
}

static void both_forms_of_a_value_and_words_between (void **state)
{
    options_t *options = PARSE (NULL, "a", "--http", "x:1", "b", "--upload-max=2G", "--json", "-", "--", "--json");
    assert_non_null (options);
    assert_string_equal (options_text (options, "http"), "x:1");
    assert_int_equal (options_number (options, "upload-max"), 2ull << 30);
    assert_true (options_flag (options, "json"));
    assert_true (options_given (options, "json"));
    assert_int_equal (options_argc (options), 4);
    assert_string_equal (options_arg (options, 2), "-");
    assert_string_equal (options_arg (options, 3), "--json");
    options_destroy (&options);
}

static void command_line_beats_environment_beats_file (void **state)
{
    char path[64];
    write_file (path, "# ours\nhttp = file:1\nchunk_tokens = 111\nupload-max = \"3M\"\njson = yes\n");
    setenv ("MYELIN_HTTP", "environment:2", 1);
    setenv ("MYELIN_CHUNK_TOKENS", "222", 1);
    options_t *options = PARSE (NULL, "--http", "line:3", "--config", path);
    assert_non_null (options);
    assert_string_equal (options_text (options, "http"), "line:3");
    assert_int_equal (options_number (options, "chunk-tokens"), 222);
    assert_int_equal (options_number (options, "upload-max"), 3u << 20);
    assert_true (options_flag (options, "json"));
    assert_true (options_given (options, "upload-max"));
    options_destroy (&options);
    unsetenv ("MYELIN_HTTP");
    unsetenv ("MYELIN_CHUNK_TOKENS");
    unlink (path);
}

static void mistakes_are_named (void **state)
{
    static const struct {
        char *word, *value;
        const char *says;
    } cases[] = {
        { "--htpp", "x", "did you mean '--http'" },
        { "--nothing-like-it", "x", "there is no option '--nothing-like-it'" },
        { "-x", NULL, "there is no option '-x'" },
        { "--http", NULL, "'--http' needs a value" },
        { "--chunk-tokens", "many", "takes a whole number, not 'many'" },
        { "--chunk-tokens", "-1", "takes a whole number" },
        { "--chunk-tokens", "4K", "takes a whole number" },
        { "--upload-max", "4X", "takes a size" },
        { "--upload-max", "99999999999T", "takes a size" },
        { "--json=perhaps", NULL, "takes yes or no" },
        { "--config", "/does/not/exist", "No such file" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err_t err = { 0 };
        assert_null (PARSE (&err, cases[i].word, cases[i].value));
        assert_int_equal (err.code, ERR_CONFIG);
        if (!strstr (err.message, cases[i].says))
            fail_msg ("'%s' does not say \"%s\"", err.message, cases[i].says);
    }
}

static void mistakes_in_a_file_name_the_file (void **state)
{
    static const char *const texts[] = { "htpp = x\n", "chunk-tokens = many\n", "section\n    http = x\n" };
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        write_file (path, texts[i]);
        err_t err = { 0 };
        assert_null (PARSE (&err, "--config", path));
        assert_non_null (strstr (err.message, path));
        unlink (path);
    }
}

static void a_file_may_be_shared_with_other_commands (void **state)
{
    static const option_t other[] = { { "workers", OPTION_TEXT, NULL, "COUNTS", "processes" }, { 0 } };
    static const option_t *const family[] = { table, other, NULL };
    static const struct {
        const char *text, *says; /* NULL: it is taken */
    } cases[] = { { "workers = many\nhttp = x:1\n", NULL },
                  { "wrokers = many\n", "there is no option 'wrokers'" },
                  { "workers\n    http = x:1\n", ":1: 'workers' has no `=`" },
                  { "# none\n\nhttp = x:1\n  nonsense  # = \n", ":4: 'nonsense" },
                  { "http = x:1\n\n# workers\n", NULL },
                  { "http = x:1\nworkers", ":2: 'workers' has no `=`" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[64];
        write_file (path, cases[i].text);
        err_t err = { 0 };
        options_t *options = options_new_of (table, family, 3, (char *[]){ "program", "--config", path, NULL }, &err);
        if (cases[i].says)
            assert_non_null (strstr (err.message, cases[i].says));
        else
            assert_string_equal (options_text (options, "http"), "x:1");
        options_destroy (&options);
        unlink (path);
    }
    err_t err = { 0 }; /* the command line is for one command alone */
    assert_null (options_new_of (table, family, 3, (char *[]){ "program", "--workers", "1", NULL }, &err));
}

static void help_needs_nothing_else_to_be_right (void **state)
{
    options_t *options = PARSE (NULL, "--help", "--config", "/does/not/exist");
    assert_non_null (options);
    assert_true (options_help_wanted (options));
    options_destroy (&options);
}

static void similar_words_are_found_and_others_not (void **state)
{
    static const char *const words[] = { "submit", "search", "tasks", "task" };
    static const struct {
        const char *typed, *meant;
    } cases[] = { { "sumbit", "submit" }, { "serch", "search" }, { "taks", "task" }, { "xyzzy", NULL }, { "", NULL } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        similar_t near = { 0 };
        for (size_t j = 0; j < 4; j++)
            similar_try (&near, cases[i].typed, words[j]);
        if (!cases[i].meant)
            assert_null (near.word);
        else if (strcmp (cases[i].meant, "task") != 0) /* "taks" is as close to "tasks" */
            assert_string_equal (near.word, cases[i].meant);
        else
            assert_non_null (near.word);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (defaults_hold_where_nothing_is_given),
        cmocka_unit_test (both_forms_of_a_value_and_words_between),
        cmocka_unit_test (command_line_beats_environment_beats_file),
        cmocka_unit_test (mistakes_are_named),
        cmocka_unit_test (mistakes_in_a_file_name_the_file),
        cmocka_unit_test (a_file_may_be_shared_with_other_commands),
        cmocka_unit_test (help_needs_nothing_else_to_be_right),
        cmocka_unit_test (similar_words_are_found_and_others_not),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
