# A firmware that does what it finds in memory. A local APIC's registers answer its processor only,
# so somebody on that processor has to access them.
#
# Records of 12 bytes wait at 0x10010: what to do, an address, a value. How many there are is at
# 0x10000, and becomes 0 when all are done. 0 writes the value to the address; 1 reads the address,
# and the value is replaced by what is read; 2 lets one interrupt in, and the value is replaced by
# its vector, or by -1 if there was none.
#
# The 64 KiB that end at 4 GiB. The processor begins 16 bytes before their end.
    .intel_syntax noprefix
    .code16
    .org 0
real:
    cli
    data32 lgdt cs:[0x40]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xEA        # jmp 0x08:0xFFFF0080
    .long 0xFFFF0080
    .word 0x08

    .org 0x40               # what LGDT loads, then the descriptors: none, code, data
    .word 23
    .long 0xFFFF0048
    .org 0x48
    .quad 0
    .quad 0x00CF9B000000FFFF
    .quad 0x00CF93000000FFFF
    .org 0x60               # what LIDT loads
    .word 0x7FF
    .long 0x1000

    .org 0x80
    .code32
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, 0x9000
    mov al, 0xFF            # the 8259 pair has nothing to say
    out 0x21, al
    out 0xA1, al
# 256 gates at 0x1000 lead to 256 times "push the vector, jump to the handler" at 0x2000.
    xor ecx, ecx
    mov edi, 0x1000
    mov edx, 0x2000
gate:
    mov word ptr [edi], dx
    mov dword ptr [edi+2], 0x8E000008
    mov word ptr [edi+6], 0
    mov byte ptr [edx], 0x68
    mov dword ptr [edx+1], ecx
    mov byte ptr [edx+5], 0xE9
    mov eax, offset handler - 10 + 0xFFFF0000
    sub eax, edx
    mov dword ptr [edx+6], eax
    add edi, 8
    add edx, 16
    inc ecx
    cmp ecx, 256
    jne gate
    lidt [0xFFFF0060]

wait:
    pause
    mov ecx, dword ptr [0x10000]
    test ecx, ecx
    jz wait
    mov esi, 0x10010
record:
    mov eax, dword ptr [esi]
    mov ebx, dword ptr [esi+4]
    test eax, eax
    jz write
    dec eax
    jz read
    mov dword ptr [0x800], -1
    sti
    nop
    nop
    cli
    mov eax, dword ptr [0x800]
    jmp answer
write:
    mov eax, dword ptr [esi+8]
    mov dword ptr [ebx], eax
    jmp done
read:
    mov eax, dword ptr [ebx]
answer:
    mov dword ptr [esi+8], eax
done:
    add esi, 12
    loop record
    mov dword ptr [0x10000], 0
    jmp wait

handler:
    pop dword ptr [0x800]
    iretd

    .org 0xFFF0
    .byte 0xE9, 0x0D, 0x00  # jmp real
    .org 0x10000
