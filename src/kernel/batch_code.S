/* The batch interpreter: position independent, uses no stack. Entered with
     rbx = the first call, r12 = number of calls, r13 = base of the call table.
   A call is 80 bytes: number, six arguments, result, mask of arguments that are results of earlier calls, stop-on-error.

   At the end it sends itself a signal that the program ignores by default. A tracer sees that as a stop and takes over.
   Without one nothing happens, and the code below puts every register and the signal mask back from the area's header:
   if the engine dies in the middle of a batch, the thread goes on with its own work.

   The header lies one page behind this code (struct Header in batch.cc). */
    .set header, perdure_batch_code_begin + 4096
    .text
    .globl perdure_batch_code_begin
    .globl perdure_batch_code_end
    .globl perdure_batch_code_syscall
    .globl perdure_batch_code_trap
    .hidden perdure_batch_code_begin
    .hidden perdure_batch_code_end
    .hidden perdure_batch_code_syscall
    .hidden perdure_batch_code_trap
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
    mov $39, %eax                       /* getpid */
    syscall
    mov %rax, %rdi
    mov $186, %eax                      /* gettid */
    syscall
    mov %rax, %rsi
    mov header+16(%rip), %rdx
    mov $234, %eax                      /* tgkill */
    syscall
perdure_batch_code_trap:
    /* Signals are still blocked: flags by way of the header, then the program's stack, then its signal mask. Nothing
       after popfq changes the flags (the system call keeps them). */
    lea header+32(%rip), %rsp
    popfq
    mov header+40(%rip), %rsp
    mov $2, %edi                        /* SIG_SETMASK */
    lea header+24(%rip), %rsi
    mov $0, %edx
    mov $8, %r10d
    mov $14, %eax                       /* rt_sigprocmask */
    syscall
    mov header+56(%rip), %rax
    mov header+64(%rip), %rbx
    mov header+72(%rip), %rcx
    mov header+80(%rip), %rdx
    mov header+88(%rip), %rsi
    mov header+96(%rip), %rdi
    mov header+104(%rip), %rbp
    mov header+112(%rip), %r8
    mov header+120(%rip), %r9
    mov header+128(%rip), %r10
    mov header+136(%rip), %r11
    mov header+144(%rip), %r12
    mov header+152(%rip), %r13
    mov header+160(%rip), %r14
    mov header+168(%rip), %r15
    jmp *header+48(%rip)
perdure_batch_code_end:
    .section .note.GNU-stack,"",@progbits
