//! The instruction of a function to probe: one that the kernel emulates, while the arguments are still in registers.
//!
//! Read from the function's start, instruction after instruction. Any other way could end inside an instruction, and a
//! breakpoint there corrupts the server.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register,
};

use super::elf::Image;
use super::types::{NotFound, Shape};

/// How far a function is read: its prologue is shorter.
const BYTES: u64 = 160;
const INSTRUCTIONS: usize = 32;

/// An instruction to probe, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: u64,
    pub(super) emulated: bool,
    pub(super) shape: Shape,
}

/// The best instruction of a function that begins with its arguments as `shape` says.
pub(super) fn choose(image: &Image<'_>, function: u64, shape: Shape) -> Result<Entry, NotFound> {
    let code = image.code_at(function, BYTES);
    let mut values = Values::at_entry();
    let mut info = InstructionInfoFactory::new();
    for (at, instruction) in
        Decoder::with_ip(64, code, function, DecoderOptions::NONE).iter().take(INSTRUCTIONS).enumerate()
    {
        let flow = instruction.flow_control();
        let first = at == 0 || at == 1 && code.starts_with(&ENDBR64);
        if instruction.is_invalid()
            || first && matches!(flow, FlowControl::IndirectBranch | FlowControl::Interrupt | FlowControl::Return)
        {
            // Cut code, or the stub of a function in another file.
            if first {
                return Err(NotFound::NoFunction);
            }
            break;
        }
        let offset = usize::try_from(instruction.ip() - function).unwrap_or(usize::MAX);
        let raw = code.get(offset..offset + instruction.len()).unwrap_or_default();
        if is_emulated(raw)
            && let Some(shape) = values.shape(shape)
        {
            return Ok(Entry { address: instruction.ip(), emulated: true, shape });
        }
        if flow != FlowControl::Next {
            break;
        }
        values.apply(&instruction, &mut info);
    }
    if code.is_empty() {
        return Err(NotFound::NoFunction);
    }
    Ok(Entry { address: function, emulated: false, shape })
}

const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// Whether kernels since 4.16 emulate it (arch/x86/kernel/uprobes.c: `branch_setup_xol_ops`, `push_setup_xol_ops`).
/// They emulate `call`, too, but without writing its return address to a shadow stack.
fn is_emulated(instruction: &[u8]) -> bool {
    matches!(
        instruction,
        [0x50..=0x57 | 0x90]
            | [0x41, 0x50..=0x57]
            | [0x70..=0x7f | 0xeb, _]
            | [0xe9, _, _, _, _]
            | [0x0f, 0x80..=0x8f, _, _, _, _]
    )
}

/// What is known of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// What this register held when the function began.
    Entry(Register),
    /// An address some bytes behind that.
    Behind(Register),
    Constant(u64),
    Unknown,
}

/// The sixteen general registers, by number.
struct Values([Value; 16]);

impl Values {
    fn at_entry() -> Self {
        const ALL: [Register; 16] = [
            Register::RAX,
            Register::RCX,
            Register::RDX,
            Register::RBX,
            Register::RSP,
            Register::RBP,
            Register::RSI,
            Register::RDI,
            Register::R8,
            Register::R9,
            Register::R10,
            Register::R11,
            Register::R12,
            Register::R13,
            Register::R14,
            Register::R15,
        ];
        Self(ALL.map(Value::Entry))
    }

    fn of(&self, register: Register) -> Value {
        if register.is_gpr64() {
            self.0.get(register.number()).copied().unwrap_or(Value::Unknown)
        } else {
            Value::Unknown
        }
    }

    /// As which shape the arguments now stand, of a function that began with `shape`.
    fn shape(&self, shape: Shape) -> Option<Shape> {
        use Register::{R8, R9, R10, RBX, RCX, RDI, RDX, RSI};
        let kept = |registers: &[Register]| registers.iter().all(|&one| self.of(one) == Value::Entry(one));
        let is_kept = match shape {
            Shape::LogSecret => kept(&[RSI, RDX, RCX]),
            Shape::GoKeyLog => kept(&[RBX, RCX, RDI, R9, R10]),
            Shape::AesKey => kept(&[RDI, RSI, RDX]),
            Shape::NssKeylog => false,
        };
        if is_kept {
            return Some(shape);
        }
        let moved = [(RDI, Value::Entry(RSI)), (RDX, Value::Behind(RDI)), (RCX, Value::Constant(32))];
        let moved = moved.into_iter().chain([(R8, Value::Entry(RDX)), (R9, Value::Entry(RCX))]);
        let is_moved =
            shape == Shape::LogSecret && moved.into_iter().all(|(register, value)| self.of(register) == value);
        is_moved.then_some(Shape::NssKeylog)
    }

    /// Follows copies of addresses; what else an instruction writes becomes unknown.
    fn apply(&mut self, instruction: &Instruction, info: &mut InstructionInfoFactory) {
        let result = match instruction.code() {
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if instruction.op1_kind() == OpKind::Register => {
                self.of(instruction.op1_register())
            }
            Code::Mov_r32_imm32 => Value::Constant(u64::from(instruction.immediate32())),
            Code::Lea_r64_m if instruction.memory_index() == Register::None => match self.of(instruction.memory_base())
            {
                Value::Entry(register) | Value::Behind(register) => Value::Behind(register),
                _ => Value::Unknown,
            },
            _ => Value::Unknown,
        };
        for used in info.info(instruction).used_registers() {
            let register = used.register().full_register();
            let is_written =
                !matches!(used.access(), OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            if is_written
                && register.is_gpr64()
                && let Some(value) = self.0.get_mut(register.number())
            {
                *value = Value::Unknown;
            }
        }
        let target = instruction.op0_register().full_register();
        let writes_target =
            instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register && target.is_gpr64();
        if writes_target
            && result != Value::Unknown
            && let Some(value) = self.0.get_mut(target.number())
        {
            *value = result;
        }
    }
}
