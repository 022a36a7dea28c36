/* Whether the vector kernels of x86-64 are compiled; which of them run is asked at run time. */
#ifndef SIDEGATE_MACHINE_H
#define SIDEGATE_MACHINE_H

/* SIDEGATE_PORTABLE leaves them out, as any other machine does: so the tests can build that. */
#if defined(__x86_64__) && !defined(SIDEGATE_PORTABLE)
#define SIDEGATE_X86 1
#else
#define SIDEGATE_X86 0
#endif

#endif
