"""`python -m tests.netlab COMMAND...`: run COMMAND inside fresh namespaces."""

from tests.netlab.enter import main

raise SystemExit(main())
