//! libpx: what a C or Fortran program sees of pxrun.
