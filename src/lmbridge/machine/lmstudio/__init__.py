"""LM Studio on this computer: its files and its command `lms`. Knows no HTTP.

`home` says where its folder is, `install` what of it is there, `lms` is the command with `child` underneath
and `output` to read what it prints, `launch` starts its programs, `headless` prepares it for a computer without a
screen.
"""
