#include "gateway/problem.h"

void problem_write (str_t *out, err_code_t code, int status, span_t detail)
{
    if (code == ERR_NOT_FOUND)
        detail = SPAN_LIT ("No such path or object, or it is not yours.");
    str_char (out, '{');
    str_key (out, "type");
    str_text (out, "\"urn:myelin:problem:");
    str_text (out, err_name (code));
    str_char (out, '"');
    str_key_str (out, "title", span_str (err_title (code)));
    str_key_u64 (out, "status", (uint64_t)(status ? status : err_status (code)));
    str_key_str (out, "detail", detail.size ? detail : span_str (err_title (code)));
    str_key_str (out, "code", span_str (err_name (code)));
    str_char (out, '}');
}
