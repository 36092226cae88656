"""Started as a file, as the script in `bin/lms` does; finds its package from there."""

import os
import sys

if __name__ == "__main__":
    sys.path[0] = os.path.abspath(f"{os.path.dirname(os.path.abspath(__file__))}/../../..")
    from tests.fakes.lms.main import main

    main()
