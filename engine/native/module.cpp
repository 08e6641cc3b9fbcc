#include <nanobind/nanobind.h>
NB_MODULE(_native, m) { m.doc() = "int4 kernels for CPUs"; }
