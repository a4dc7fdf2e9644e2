"""How fast is the generated code, and how much memory does it take, beside others in one run?"""
