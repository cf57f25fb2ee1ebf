#include "client/cli.h"

#include <locale.h>

int main (int argc, char **argv)
{
    setlocale (LC_CTYPE, "C.UTF-8"); /* for the width of characters; numbers and messages stay as they are */
    return cli_main (argc, argv);
}
