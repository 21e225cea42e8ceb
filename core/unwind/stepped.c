/* Handler code: runs inside the sampling signal. No allocation, locks, stdio or errno. */
#include "unwind/stepped.h"

bool stepped_leave(struct walk *walk, const struct cprof_registers *registers)
{
    if (!leave_ascends(walk, registers->sp))
        return leave_stop(walk, WALK_BAD_STACK);
    return leave_to(walk, registers->pc, registers->sp, registers->fp, UNKNOWN);
}

bool stepped_tried(struct walk *trial)
{
    struct cprof_registers registers = stepped_registers(trial);
    struct cprof_frame own;
    if (trial->step_asleep)
        return trial->step_asleep(trial->sleeper, &registers, NULL) &&
               stepped_leave(trial, &registers);
    return trial->runtime && trial->runtime->step &&
           stepped_frame(trial, trial->at.pc - 1, &registers, &own) &&
           stepped_leave(trial, &registers);
}
