/* A delegate for tests. It claims the nodes that its options name, reports them, fails at the step that its options
 * name, and computes nothing. The structures are those of TFLite's c/common.h, as far as they are used.
 *
 *   claim=all|none|even                   nodes of the execution plan to claim (default: all)
 *   report=PATH                           file for the indices of the claimed nodes
 *   fail=create|prepare|allocate|invoke   step that fails
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct {
  void* (*init)(Context*, const char*, size_t);
  void (*free)(Context*, void*);
  int (*prepare)(Context*, void*);
  int (*invoke)(Context*, void*);
  const char* (*profiling_string)(const Context*, const void*);
  int32_t builtin_code;
  const char* custom_name;
  int version;
  void* external;
  void* async_kernel;
  uint64_t inplace_operator;
} Registration;

struct Context {
  size_t tensors_size;
  int (*GetExecutionPlan)(Context*, IntArray**);
  void* tensors;
  void* impl;
  void* resize_tensor;
  void* report_error;
  void* add_tensors;
  void* get_node_and_registration;
  int (*ReplaceNodeSubsets)(Context*, Registration, const IntArray*, Delegate*);
};

struct Delegate {
  void* data;
  int (*Prepare)(Context*, Delegate*);
  void* copy_from_buffer_handle;
  void* copy_to_buffer_handle;
  void* free_buffer_handle;
  int64_t flags;
  void* opaque_builder;
};

static char claim[16], fail[16], report[4096];

static int succeed(Context* context, void* node) { return 0; }
static int refuse(Context* context, void* node) { return 1; }

static int prepare(Context* context, Delegate* delegate) {
  if (!strcmp(fail, "prepare")) return 1;
  IntArray* plan;
  if (context->GetExecutionPlan(context, &plan)) return 1;
  IntArray* claimed = malloc(sizeof(IntArray) + plan->size * sizeof(int));
  FILE* file = *report ? fopen(report, "w") : NULL;
  claimed->size = 0;
  for (int place = 0; place < plan->size; ++place) {
    if (!strcmp(claim, "none") || (!strcmp(claim, "even") && place % 2)) continue;
    claimed->data[claimed->size++] = plan->data[place];
    if (file) fprintf(file, "%d\n", plan->data[place]);
  }
  if (file) fclose(file);
  Registration kernel = {.custom_name = "TestDelegate", .version = 1};
  kernel.prepare = strcmp(fail, "allocate") ? succeed : refuse;
  kernel.invoke = strcmp(fail, "invoke") ? succeed : refuse;
  int status = context->ReplaceNodeSubsets(context, kernel, claimed, delegate);
  free(claimed);
  return status;
}

Delegate* tflite_plugin_create_delegate(char** keys, char** values, size_t count, void (*error)(const char*)) {
  strcpy(claim, "all"), strcpy(fail, ""), strcpy(report, "");
  for (size_t i = 0; i < count; ++i) {
    if (!strcmp(keys[i], "claim")) strncpy(claim, values[i], sizeof claim - 1);
    if (!strcmp(keys[i], "fail")) strncpy(fail, values[i], sizeof fail - 1);
    if (!strcmp(keys[i], "report")) strncpy(report, values[i], sizeof report - 1);
  }
  if (!strcmp(fail, "create")) {
    error("no such device");
    return NULL;
  }
  Delegate* delegate = calloc(1, sizeof(Delegate));
  delegate->Prepare = prepare;
  delegate->flags = 1; /* kTfLiteDelegateFlagsAllowDynamicTensors: the runtime calls Prepare before it prepares the operators */
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate* delegate) { free(delegate); }
