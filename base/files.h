/*  files.h: how many descriptors this process may have. */
#ifndef BASE_FILES_H
#define BASE_FILES_H

/*  Raises the limit to the most that the system lets us have; returns it. 0: it is not known. */
unsigned long files_allow_all (void);

#endif
