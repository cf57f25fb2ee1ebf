#include "integrity/verify_private.h"
#include "store/kv_skip.h"

#include <stdio.h>
#include <sys/stat.h>

#define SKIPS_MAX 10000 /* unreadable places of one family that are told one by one */

static const char *family_name (finding_place_t place, unsigned family)
{
    return place == PLACE_BROKER    ? record_family_name ((record_family_t)family)
           : place == PLACE_CONTENT ? content_family_name ((content_family_t)family)
                                    : NULL;
}

finding_t verify_finding (finding_place_t place, unsigned family, finding_kind_t kind, span_t key, fix_t fix)
{
    return (finding_t){ .kind = kind,
                        .place = place,
                        .family = family,
                        .family_name = family_name (place, family),
                        .key = key,
                        .fix = fix };
}

void verify_bad (verify_t *self, finding_place_t place, unsigned family, span_t key, fix_t fix, const err_t *err)
{
    finding_t finding = verify_finding (place, family, FINDING_BAD_RECORD, key, fix);
    if (err->code == ERR_NEWER_FORMAT) {
        finding.kind = FINDING_NEWER;
        finding.fix = FIX_NONE;
    } else if (err->code != ERR_CORRUPT && err->code != ERR_PROTOCOL) {
        finding.kind = FINDING_UNREADABLE;
        finding.fix = FIX_NONE;
    }
    report (self->report, &finding, "%s", err->message);
}

static void report_unreadable (verify_t *self, finding_place_t place, unsigned family, span_t last, const err_t *err)
{
    finding_t finding = verify_finding (place, family, FINDING_UNREADABLE, last, FIX_SALVAGE);
    report (self->report, &finding, "what follows %s cannot be read: %s", last.size ? "this record" : "the beginning",
            err->message);
}

void verify_walk (verify_t *self, finding_place_t place, unsigned family, verify_record_fn *check, void *context)
{
    kv_iter_t *it = kv_iterate (place == PLACE_BROKER ? self->broker : self->content, family);
    str_t last = STR_INIT;
    err_t err;
    it->ops->seek (it, SPAN_EMPTY);
    for (int skips = 0; skips < SKIPS_MAX; skips++) {
        for (; it->ops->valid (it); it->ops->step (it, true)) {
            span_t key = it->ops->key (it), value = it->ops->value (it);
            self->report->records += !self->is_second;
            self->report->record_bytes += self->is_second ? 0 : key.size + value.size;
            if (check)
                check (self, context, key, value);
            str_clear (&last);
            str_add (&last, key);
        }
        if (it->ops->check (it, &err) == 0)
            break;
        if (!self->is_second)
            report_unreadable (self, place, family, str_span (&last), &err);
        if (!kv_iter_skip (it, str_span (&last)))
            break;
    }
    kv_iter_destroy (&it);
    str_free (&last);
}

bool verify_key (verify_t *self, finding_place_t place, unsigned family, span_t key, size_t rest_size, span_t *user,
                 span_t *rest)
{
    str_t made = STR_INIT;
    bool good =
        record_key_parse (key, user, rest) == 0 && user->size && (rest_size == SIZE_MAX || rest->size == rest_size);
    if (good) {
        record_key_user (&made, *user);
        good = memcmp (made.data, key.data, made.size) == 0; /* in the partition of its user */
    }
    if (!good) {
        finding_t finding = verify_finding (place, family, FINDING_BAD_KEY, key, FIX_DELETE);
        report (self->report, &finding, "the key is damaged");
    }
    str_free (&made);
    return good;
}

static int get (verify_t *self, finding_place_t place, unsigned family, span_t key, const codec_shape_t *shape,
                void *value, str_t *bytes)
{
    err_t err;
    int found = kv_get (place == PLACE_BROKER ? self->broker : self->content, family, key, bytes, &err);
    if (found == 1 && codec_decode (shape, str_span (bytes), value, &err) == -1)
        found = -1; /* the walk over that family reports it */
    return found;
}

int verify_get (verify_t *self, record_family_t family, span_t key, const codec_shape_t *shape, void *value,
                str_t *bytes)
{
    return get (self, PLACE_BROKER, family, key, shape, value, bytes);
}

int verify_get_content (verify_t *self, content_family_t family, span_t key, const codec_shape_t *shape, void *value,
                        str_t *bytes)
{
    return get (self, PLACE_CONTENT, family, key, shape, value, bytes);
}

bool verify_has (kv_t *kv, unsigned family, span_t key)
{
    str_t value = STR_INIT;
    int found = kv_get (kv, family, key, &value, NULL);
    str_free (&value);
    return found != 0; /* one that cannot be read is there */
}

void verify_open (const verify_config_t *config, kv_t *broker, kv_t *content, report_t *report_to)
{
    verify_t self = { .config = config, .report = report_to, .broker = broker, .content = content };
    if (broker) {
        verify_broker (&self);
        verify_users (&self);
        verify_unused_files (&self);
    }
    if (content) {
        verify_content (&self);
        verify_segments (&self);
    }
    if (broker && content)
        verify_between (&self);
    str_free (&self.key);
    str_free (&self.value);
    str_free (&self.other);
}

static bool is_there (const char *dir, const char *name)
{
    str_t path = STR_INIT;
    struct stat about;
    str_format (&path, "%s/%s", dir, name);
    bool there = stat (path.data, &about) == 0;
    str_free (&path);
    return there;
}

static void report_database (report_t *to, finding_place_t place, const err_t *err)
{
    finding_t finding = { .kind = err->code == ERR_NEWER_FORMAT ? FINDING_NEWER : FINDING_DATABASE,
                          .place = place,
                          .fix = err->code == ERR_CORRUPT ? FIX_SALVAGE : FIX_NONE };
    report (to, &finding, "%s", err->message);
}

typedef kv_t *open_fn (const char *dir, kv_rocks_mode_t mode, err_t *err);

static kv_t *open_one (const verify_config_t *config, const char *name, finding_place_t place, open_fn *open,
                       report_t *to)
{
    str_t path = STR_INIT;
    err_t err;
    kv_t *kv = NULL;
    str_format (&path, "%s/%s", config->dir, name);
    if (!is_there (config->dir, name)) {
        err_set (&err, ERR_IO, "the directory %s is missing", path.data);
        report_database (to, place, &err);
    } else if (!(kv = open (path.data, KV_ROCKS_READ_ONLY, &err)))
        report_database (to, place, &err);
    str_free (&path);
    return kv;
}

int verify_run (const verify_config_t *config, report_t *to, err_t *err)
{
    if (!is_there (config->dir, "broker") && !is_there (config->dir, "content"))
        return err_set (err, ERR_NOT_FOUND, "there is neither a data directory nor a backup in '%s'", config->dir);
    kv_t *broker = open_one (config, "broker", PLACE_BROKER, records_open_mode, to);
    kv_t *content = open_one (config, "content", PLACE_CONTENT, content_records_open_mode, to);
    verify_open (config, broker, content, to);
    kv_destroy (&broker);
    kv_destroy (&content);
    return 0;
}
