#!/bin/sh
# `runmeter` in the image `operate`, where our packages are copied and not installed.
exec python -m stack.cli "$@"
