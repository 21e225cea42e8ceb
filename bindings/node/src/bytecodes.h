/*
 * How long V8's bytecodes are: needed to pair the machine code of its baseline compiler, whose
 * table counts bytecodes, with source positions, which go by their offsets.
 */
#ifndef CPROF_NODE_BYTECODES_H
#define CPROF_NODE_BYTECODES_H

#include <stdbool.h>
#include <stdint.h>

/* Is this a V8 whose bytecodes are known? `version` as V8 spells it: "12.4.254.21-node.57". */
bool bytecodes_find(const char *version);

/* The length of the bytecode that starts there, its prefix included; 0 if it is none, or does
 * not end before `end`. */
uint32_t bytecodes_length(const uint8_t *at, const uint8_t *end);

#endif
