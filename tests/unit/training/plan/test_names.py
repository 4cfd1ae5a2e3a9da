"""Modules in name stacks."""

import pytest

from ramie.training.plan.names import module_of, operation_of

STACK = "jit(call)/call_exported/jit(planned)/jit(step)/"


@pytest.mark.parametrize(
    ("stack", "module", "operation"),
    [
        (STACK + "jvp(Net)/up/dot_general", "Net/up", "dot_general"),
        (STACK + "transpose(jvp(Net))/up/dot_general", "Net/up", "dot_general"),
        (STACK + "transpose(jvp())/mul;jit(step)/jvp()/x", "", "mul"),
        (STACK + "vmap(jvp(Net/a))/b/add", "Net/a/b", "add"),
        (STACK + "Net/while/body/eval_jaxpr/checkpoint/rematted_computation/l/sub", "Net/l", "sub"),
        (STACK + "Net/cond/branch_1_fun/l/sub", "Net/l", "sub"),
        (STACK + "Net/bqd,bkd->bqk/dot_general", "Net", "dot_general"),
        (STACK + "(jvp(Net)/up/dot:transpose(jvp(Net))/up/mul)", "Net/up", "dot"),
        (
            STACK + "(jvp(Net)/up/dot_general:jvp(Net)/down/add:jvp(Net)/up/add)",
            "Net",
            "dot_general",
        ),
        (STACK + "(transpose(jvp())/reduce_sum:jvp()/add)", "", "reduce_sum"),
        (STACK[:-1], "", ""),
        (STACK + "Net/jit(dynamic_update_index_in_dim)", "Net", ""),
        ("broadcast.1", "", "broadcast.1"),
        ("", "", ""),
    ],
)
def test_the_module_without_what_is_around_it(stack, module, operation):
    assert (module_of(stack), operation_of(stack)) == (module, operation)
