# libcuda.so.1 of the voice lab: the two calls that tell whether CUDA works, in assembly because the lab needs no compiler.
# They fail as the real ones do: 100 (CUDA_ERROR_NO_DEVICE) without the card or when systemd took it away, 999
# (CUDA_ERROR_UNKNOWN) without /dev/nvidia-uvm, which nvidia-smi does without. Nothing is behind the nodes here, and the
# lab's hook tells no cgroup of them: that they exist is all that is asked.

    .text
    .globl cuInit
    .type cuInit, @function
cuInit:                         # CUresult cuInit(unsigned int flags)
    lea card(%rip), %rdi
    mov $4, %esi                # R_OK
    call may
    jnz no_device
    lea control(%rip), %rdi
    xor %esi, %esi              # F_OK
    call may
    jnz no_device

    lea grant(%rip), %rdi       # only in containers: its first letter is r once access was revoked
    xor %esi, %esi
    mov $2, %eax                # open
    syscall
    test %eax, %eax
    js granted
    mov %eax, %edi
    push $0
    mov %rsp, %rsi
    mov $1, %edx
    xor %eax, %eax              # read
    syscall
    mov $3, %eax                # close
    syscall
    pop %rax
    cmp $'r', %al
    je no_device
granted:
    lea uvm(%rip), %rdi
    xor %esi, %esi
    call may
    mov $999, %eax
    jnz 1f
    xor %eax, %eax
1:  ret
no_device:
    mov $100, %eax
    ret

may:                            # access(path in rdi, mode in esi): the zero flag is set if so
    mov $21, %eax
    syscall
    test %eax, %eax
    ret

    .globl cuDeviceGetCount
    .type cuDeviceGetCount, @function
cuDeviceGetCount:               # CUresult cuDeviceGetCount(int *count)
    movl $1, (%rdi)
    xor %eax, %eax
    ret

    .section .rodata
card:    .asciz "/run/nvidia-lab/card.json"
control: .asciz "/dev/nvidiactl"
uvm:     .asciz "/dev/nvidia-uvm"
grant:   .asciz "/run/nvidia-lab.grant"

    .section .note.GNU-stack, "", @progbits
