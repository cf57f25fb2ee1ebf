#include "base/files.h"

#include <sys/resource.h>

unsigned long files_allow_all (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == -1)
        return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit (RLIMIT_NOFILE, &limit) == -1 ? before : limit.rlim_cur;
}
