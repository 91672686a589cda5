/* The batch interpreter: position independent, uses no stack. Entered with
     rbx = the first call, r12 = number of calls, r13 = base of the call table; ends in int3.
   A call is 80 bytes: number, six arguments, result, mask of arguments that are results of earlier calls, stop-on-error. */
    .text
    .globl perdure_batch_code_begin
    .globl perdure_batch_code_end
    .globl perdure_batch_code_syscall
    .hidden perdure_batch_code_begin
    .hidden perdure_batch_code_end
    .hidden perdure_batch_code_syscall
perdure_batch_code_begin:
.Lnext:
    test %r12, %r12
    jz .Ldone
    mov 64(%rbx), %rax
    xor %ecx, %ecx
.Largument:
    bt %rcx, %rax
    jnc .Lplain
    mov 8(%rbx,%rcx,8), %rdx
    imul $80, %rdx, %rdx
    mov 56(%r13,%rdx), %rdx
    mov %rdx, 8(%rbx,%rcx,8)
.Lplain:
    inc %ecx
    cmp $6, %ecx
    jne .Largument
    mov 8(%rbx), %rdi
    mov 16(%rbx), %rsi
    mov 24(%rbx), %rdx
    mov 32(%rbx), %r10
    mov 40(%rbx), %r8
    mov 48(%rbx), %r9
    mov 0(%rbx), %rax
perdure_batch_code_syscall:
    syscall
    mov %rax, 56(%rbx)
    cmp $-4095, %rax
    jb .Lsucceeded
    cmpq $0, 72(%rbx)
    jne .Ldone
.Lsucceeded:
    add $80, %rbx
    dec %r12
    jmp .Lnext
.Ldone:
    int3
perdure_batch_code_end:
    .section .note.GNU-stack,"",@progbits
