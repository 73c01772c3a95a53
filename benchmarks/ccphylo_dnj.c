// Times ccphylo's dynamic neighbor joining alone, without reading text or writing files.
//
//     ccphylo_dnj MATRIX TIPS BYTES REPEATS
//
// MATRIX holds the lower triangle without its diagonal, row after row, as float32 or float64
// (BYTES 4 or 8). Prints the seconds of every repeat, a line each, and the tree at the end.
//
// Built against a checkout of ccphylo:  cc -O3 -I CCPHYLO ccphylo_dnj.c CCPHYLO/libccphylo.a -lm -lpthread -lz
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dnj.h"
#include "matrix.h"
#include "nj.h"
#include "qseqs.h"
#include "vector.h"

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const int n = atoi(argv[2]);
  const size_t bytes = atoi(argv[3]);
  const size_t cells = (size_t)n * (n - 1) / 2;
  void* input = malloc(cells * bytes);
  FILE* file = fopen(argv[1], "rb");
  if (!input || !file || fread(input, bytes, cells, file) != cells) return 1;
  fclose(file);
  // Branch lengths below zero are kept, as pyphylo keeps them where it is compared.
  limbLengthPtr = &limbLengthNeg;
  ltdMatrix_init(-(int)bytes);
  for (int repeat = atoi(argv[4]); repeat > 0; --repeat) {
    Matrix* D = ltdMatrix_init(n);
    D->n = n;
    memcpy(bytes == 8 ? (void*)*D->mat : (void*)*D->fmat, input, cells * bytes);
    Vector* sums = vector_init(n);
    Vector* Q = vector_init(n);
    int* N = malloc(2 * (size_t)n * sizeof(int));
    Qseqs** names = malloc(n * sizeof(Qseqs*));
    for (int i = 0; i < n; ++i) {
      names[i] = setQseqs(16);
      names[i]->len = sprintf((char*)names[i]->seq, "m%d", i);
    }
    const double begun = now();
    N = dnj(D, sums, Q, N, names);
    printf("%.6f\n", now() - begun);
    if (repeat == 1) printf("%s;\n", (char*)(*names)->seq);
    Matrix_destroy(D);
    vector_destroy(sums);
    vector_destroy(Q);
    for (int i = 0; i < n; ++i) destroyQseqs(names[i]);
    free(names);
    free(N);
  }
  return 0;
}
